// A node's panel: purpose, style, constraints, fallback, and its test inside the node.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Tabs } from "radix-ui";
import { useState } from "react";
import { useEvents, useExplanation } from "../../api/hooks";
import { type Problem, post } from "../../api/http";
import type { Json } from "../../edit/jsonPatch";
import { Picture, SamplePicture } from "../../ui/Picture";
import { ErrorNote, Json as JsonText, OriginLabel } from "../../ui/parts";
import { useTokens } from "../useTokens";
import { BadgeLabel, Numbers, Strip } from "./Canvas";
import { ChoiceField, Findings, type FormProps, NumberField, TextField, WordsField } from "./fields";
import { allFindings, type Badge, type Figures, type NodeConfig, readField } from "./model";
import type { NodeState } from "./useDesigns";

const KINDS = ["layout", "plot", "scene", "dialogue", "transition", "custom"] as const;
const RATINGS = ["sfw", "romantic", "mature_implied", "restricted"] as const;
const STRATEGIES = ["once", "per_playthrough", "per_player", "always"] as const;
const SEEDS = ["playthrough", "player", "timestamp", "fixed"] as const;
const MODES = ["golden_sample", "default_content", "skip", "retry", "placeholder", "none"] as const;
export const TABS = ["purpose", "style", "rules", "fallback", "test"] as const;
const TITLES: Record<(typeof TABS)[number], string> = {
  purpose: "Purpose",
  style: "Style",
  rules: "Rules",
  fallback: "Fallback",
  test: "Test",
};

export function NodePanel({
  id,
  node,
  state,
  badge,
  figures,
  tab,
  onTab,
  onChange,
  onFix,
  onAct,
  onDuplicate,
  onDelete,
  onClose,
}: {
  id: string;
  node: NodeConfig;
  state: NodeState | undefined;
  badge: Badge;
  figures: Figures | undefined;
  tab: string;
  onTab: (tab: string) => void;
  onChange: FormProps["onChange"];
  onFix: FormProps["onFix"];
  onAct: (action: "publish" | "disable" | "enable") => void;
  onDuplicate: () => void;
  onDelete: () => void;
  onClose: () => void;
}) {
  const findings = allFindings(state?.report);
  const form: FormProps = { node, findings, onChange, onFix };
  const blocked = (state?.report?.errors.length ?? 0) > 0;
  const published = state?.published !== null && state?.published === state?.version;
  return (
    <section className="card panel" aria-label={`Node ${id}`}>
      <div className="card-head">
        <h2 className="cut">{id}</h2>
        <BadgeLabel badge={badge} />
        <button type="button" className="button quiet" onClick={onClose} aria-label="Close the panel">
          ×
        </button>
      </div>
      <div className="panel-figures">
        <Numbers figures={figures} />
        <Strip figures={figures} />
      </div>
      <Tabs.Root value={tab} onValueChange={onTab}>
        <Tabs.List className="tabs content-tabs" aria-label="Parts of the node">
          {TABS.map((each) => (
            <Tabs.Trigger key={each} value={each}>
              {TITLES[each]}
            </Tabs.Trigger>
          ))}
        </Tabs.List>
        <Tabs.Content value="purpose" className="panel-form">
          <ChoiceField
            path="generationType"
            label="Generates"
            form={form}
            choices={KINDS}
            none="not chosen"
          />
          <TextField
            path="purpose"
            label="Purpose"
            form={form}
            placeholder="bridge, variation, consequence…"
          />
          <ChoiceField path="strategy" label="A new one" form={form} choices={STRATEGIES} />
          <ChoiceField path="seedSource" label="Seed from" form={form} choices={SEEDS} />
          <NumberField path="budget.tokens" label="Budget" unit="tokens a day" form={form} />
          <NumberField path="budget.cost" label="Budget" unit="money a day" form={form} />
        </Tabs.Content>
        <Tabs.Content value="style" className="panel-form">
          <TextField
            path="style.moodFrom"
            label="Mood before"
            form={form}
            placeholder="that of the scene before"
          />
          <TextField
            path="style.moodTo"
            label="Mood after"
            form={form}
            placeholder="that of the scene after"
          />
          <ChoiceField path="style.pacing" label="Pacing" form={form} choices={["slow", "medium", "fast"]} />
          <ChoiceField
            path="style.transitionType"
            label="Change"
            form={form}
            choices={["gradual", "abrupt"]}
          />
          <NumberField path="duration.min" label="Shortest" unit="s" form={form} />
          <NumberField path="duration.target" label="Best" unit="s" form={form} />
          <NumberField path="duration.max" label="Longest" unit="s" form={form} />
        </Tabs.Content>
        <Tabs.Content value="rules" className="panel-form">
          <ChoiceField path="constraints.rating" label="Rating, at most" form={form} choices={RATINGS} />
          <WordsField
            path="constraints.requiredElements"
            label="Must have"
            form={form}
            placeholder="phone_ring"
          />
          <WordsField path="constraints.avoidElements" label="Must not have" form={form} placeholder="gun" />
          <WordsField
            path="constraints.contentRules"
            label="Rules"
            form={form}
            placeholder="maintain_character_continuity"
          />
        </Tabs.Content>
        <Tabs.Content value="fallback" className="panel-form">
          <ChoiceField path="fallback.mode" label="When generation fails" form={form} choices={MODES} />
          <TextField path="fallback.defaultContentId" label="Default content" form={form} />
          <NumberField path="fallback.retries" label="Retries" form={form} />
          <NumberField path="fallback.timeoutMs" label="Deadline" unit="ms" form={form} />
          <ChoiceField path="fallback.then" label="After the retries" form={form} choices={MODES} />
          <StandIn id={id} key={JSON.stringify(node)} />
        </Tabs.Content>
        <Tabs.Content value="test" className="panel-form">
          <div>
            <h3>Findings</h3>
            {findings.length === 0 ? (
              <p className="live">Nothing contradicts itself.</p>
            ) : (
              <Findings found={findings} onFix={onFix} named />
            )}
          </div>
          <Test id={id} blocked={blocked} />
          <details>
            <summary className="dim">As JSON</summary>
            <JsonText value={node} />
          </details>
        </Tabs.Content>
      </Tabs.Root>
      <div className="card-foot">
        <button type="button" className="button danger" onClick={onDelete}>
          Remove
        </button>
        <Invalidate id={id} />
        <button type="button" className="button" onClick={onDuplicate}>
          Duplicate
        </button>
        <button
          type="button"
          className="button"
          onClick={() => onAct(state?.disabled ? "enable" : "disable")}
        >
          {state?.disabled ? "Enable" : "Disable"}
        </button>
        <span className="grow" />
        <button
          type="button"
          className="button main"
          disabled={blocked || published}
          title={blocked ? "its errors must be repaired first" : undefined}
          onClick={() => onAct("publish")}
        >
          {published ? "Published" : "Publish"}
        </button>
      </div>
    </section>
  );
}

function Invalidate({ id }: { id: string }) {
  const [said, setSaid] = useState<string | null>(null);
  return (
    <button
      type="button"
      className="button"
      onClick={() =>
        post<{ removed: number }>(`/api/v1/nodes/${encodeURIComponent(id)}/invalidate`, undefined).then(
          ({ removed }) => setSaid(`${removed} removed`),
          (failure: unknown) => setSaid(failure instanceof Error ? failure.message : String(failure)),
        )
      }
    >
      {said ?? "Invalidate cache"}
    </button>
  );
}

interface Preview {
  stand_in?: { name?: string | null; content?: Json } | null;
}

/** What would stand in for the node, now. */
function StandIn({ id }: { id: string }) {
  const preview = useQuery<Preview, Problem>({
    queryKey: ["node", id, "preview"],
    queryFn: () => post<Preview>(`/api/v1/nodes/${encodeURIComponent(id)}/preview`, { prompt: "a preview" }),
    retry: false,
    staleTime: 0,
  });
  const found = preview.data?.stand_in;
  return (
    <div>
      <h3>What would stand in</h3>
      {preview.error && <ErrorNote error={preview.error} />}
      {preview.data && !found?.name && <p className="dim">No sample: the mode decides.</p>}
      {found?.name && (
        <p>
          <span className="origin standin">{found.name}</span>
        </p>
      )}
      {found?.name && <SamplePicture name={found.name} />}
    </div>
  );
}

function Test({ id, blocked }: { id: string; blocked: boolean }) {
  const [prompt, setPrompt] = useState("");
  const [request, setRequest] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const run = () => {
    setError(null);
    setRequest(null);
    post<{ request_id: string }>(
      `/api/v1/nodes/${encodeURIComponent(id)}/test`,
      prompt === "" ? {} : { prompt },
    ).then((answer) => setRequest(answer.request_id), setError);
  };
  return (
    <div className="field">
      <label htmlFor="test-prompt">Test with</label>
      <textarea
        id="test-prompt"
        className="input"
        rows={2}
        value={prompt}
        placeholder="A phone rings."
        onChange={(event) => setPrompt(event.target.value)}
      />
      <div className="form-foot">
        <span className="faint">no player sees it, and no figure counts it</span>
        <button type="button" className="button main" disabled={blocked} onClick={run}>
          Generate
        </button>
      </div>
      {error !== null && <ErrorNote error={error} />}
      {request !== null && <TestResult id={request} />}
    </div>
  );
}

function TestResult({ id }: { id: string }) {
  const queries = useQueryClient();
  const story = useExplanation(id);
  const tokens = useTokens(id);
  useEvents((event) => {
    if (event.request_id === id && event.event !== "progress") {
      void queries.invalidateQueries({ queryKey: ["generation", id] });
    }
  });
  const ended = story.data?.origin !== null && story.data !== undefined;
  return (
    <div className="test-result">
      <Link className="link" to="/requests/$id" params={{ id }}>
        <OriginLabel origin={story.data?.origin} />
      </Link>{" "}
      <span className="dim">{story.data?.reason}</span>
      {ended && story.data ? (
        <Picture id={id} title="Test" version={story.data.events.length} />
      ) : (
        <pre className="json prose">{tokens}</pre>
      )}
    </div>
  );
}

/** The kind that a node generates. */
export const kindOf = (node: NodeConfig | undefined): string => {
  const kind = node === undefined ? undefined : readField(node, "generationType");
  return typeof kind === "string" ? kind : "not chosen";
};
