from contracts.nodes.validation.check import Check, CheckExample, CheckResult, Severity

NODE = {"generationType": "quest", "purpose": "original", "strategy": "once"}


def nothing_to_find(reading):
    constraints = reading.node.constraints
    if reading.node.generation_type == "quest" and not (constraints and constraints.required_elements):
        yield CheckResult(("constraints",), "the quest names nothing to find", "name it in required_elements")


CHECKS = (
    Check(
        code="QST001",
        severity=Severity.WARNING,
        title="nothing to find",
        why="A quest without a thing that must appear in it is hard to tell from another.",
        find=nothing_to_find,
        failing=CheckExample(node=NODE),
        passing=CheckExample(node=NODE | {"constraints": {"requiredElements": ["bell"]}}),
    ),
)
