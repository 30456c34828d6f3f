"""Quick fixes of a node: each removes its finding, and none makes another error."""

from __future__ import annotations

from typing import Any

import jsonpatch
import msgspec
import pytest

from contracts.nodes.validation import Facts, validate
from contracts.nodes.validation.check import SOUND, SOUND_TRANSITION, Check, but
from contracts.nodes.validation.quick_fixes import MOST_TRIED, find_fixes
from contracts.nodes.validation.validate import CHECKS

#: Checks whose findings nobody but the author can repair.
WITHOUT = {
    *("NOD001", "NOD005", "TYP001", "TYP002", "STR001", "STY001", "STY003", "RAT001", "RAT002", "TPL001"),
    # The example's is unusual, not misspelt.
    "PUR002",
    *("CON004", "CPX001", "PER002", "BUD001", "PRV001", "CTX001"),
}


def patched(node: Any, patch: Any) -> Any:
    return jsonpatch.apply_patch(node, msgspec.to_builtins(patch))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_a_finding_has_fixes_that_remove_it(check: Check) -> None:
    node, facts = check.failing.node, check.failing.facts
    examined, fixes = find_fixes(node, facts=facts)
    (finding,) = [each for each in examined.report.findings if each.code == check.code][:1]
    offered = fixes.get(finding, ())
    assert bool(offered) == (check.code not in WITHOUT)
    for fix in offered:
        after = validate(patched(node, fix.patch), facts=facts)
        assert check.code not in {each.code for each in after.findings}, fix
        assert len(after.errors) <= len(examined.report.errors)


def fix_of(node: Any, code: str, facts: Facts | None = None) -> list[tuple[str, Any]]:
    _, fixes = find_fixes(node, facts=facts)
    (found,) = [fixes[each] for each in fixes if each.code == code]
    return [(each.title, msgspec.to_builtins(list(each.patch))) for each in found]


def test_a_patch_has_the_names_as_their_author_wrote_them() -> None:
    node = but(SOUND, "seedSource", "generationType", generation_type="dialogue")
    assert fix_of(node, "SED002") == [
        ("use 'player'", [{"op": "add", "path": "/seed_source", "value": "player"}])
    ]


def test_a_misspelt_purpose_is_corrected() -> None:
    assert fix_of(but(SOUND, purpose="adaptiv"), "PUR002")[0][1][0]["value"] == "adaptive"


def test_a_misplaced_field_goes_where_it_belongs() -> None:
    titles = fix_of(but(SOUND, pacing="slow"), "NOD002")
    assert titles[0] == (
        "rename it to style.pacing",
        [{"op": "remove", "path": "/pacing"}, {"op": "add", "path": "/style", "value": {"pacing": "slow"}}],
    )
    assert titles[1][1] == [{"op": "remove", "path": "/pacing"}]


def test_contradictory_elements_may_leave_either_list() -> None:
    lists = {"requiredElements": ["lamp", "phone_ring"], "avoidElements": ["gun", "Phone ring"]}
    assert fix_of(but(SOUND, constraints=lists), "CON001") == [
        ("do not require 'phone_ring'", [{"op": "remove", "path": "/constraints/requiredElements/1"}]),
        ("do not avoid 'Phone ring'", [{"op": "remove", "path": "/constraints/avoidElements/1"}]),
    ]


def test_a_range_is_swapped_and_a_target_moved_into_it() -> None:
    node = but(SOUND_TRANSITION, duration={"min": 40, "max": 20, "target": 30})
    ((_, patch),) = fix_of(node, "DUR001")
    assert patched(node, patch)["duration"] == {"min": 20, "max": 40, "target": 30}
    node = but(SOUND_TRANSITION, duration={"min": 20, "max": 40, "target": 5})
    ((_, patch),) = fix_of(node, "DUR002")
    assert patched(node, patch)["duration"]["target"] == 20


@pytest.mark.parametrize(
    "node", [None, 3, [], "x", {}, {"a.b": 1, "style": 3, "duration": [], "": {"/~": 2}}]
)
def test_any_json_value_is_examined(node: Any) -> None:
    examined, fixes = find_fixes(node)
    assert examined.report.findings
    for each in (fix for found in fixes.values() for fix in found):
        patched(node, each.patch)


def test_a_node_with_very_many_faults_costs_a_bounded_number_of_validations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = 0

    def count(*args: Any, **options: Any) -> Any:
        nonlocal tried
        tried += 1
        return examine(*args, **options)

    from contracts.nodes.validation import quick_fixes  # noqa: PLC0415

    examine = quick_fixes.examine
    monkeypatch.setattr(quick_fixes, "examine", count)
    find_fixes({f"name_{number}": 1 for number in range(500)})
    assert tried <= MOST_TRIED + 1
