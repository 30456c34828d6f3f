// A node's panel: purpose, style, constraints, fallback, and its test inside the node.

import { useQuery } from "@tanstack/react-query";
import { Tabs } from "radix-ui";
import { useState } from "react";
import { type Problem, post } from "../../api/http";
import type { Json } from "../../edit/jsonPatch";
import { SamplePicture } from "../../ui/Picture";
import { ErrorNote, Json as JsonText } from "../../ui/parts";
import { BadgeLabel, Numbers, Strip } from "./Canvas";
import { ChoiceField, Findings, type FormProps, NumberField, TextField, WordsField } from "./fields";
import { Generate, type Place } from "./Generate";
import { allFindings, type Badge, type Figures, type NodeConfig, readField } from "./model";
import type { NodeState } from "./useDesigns";

const STRATEGY_WORDS = {
  once: "once, for everybody",
  per_playthrough: "for each playthrough",
  per_player: "for each player",
  always: "for each request",
};
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
  test: "Generate",
};

export function NodePanel({
  id,
  node,
  state,
  badge,
  figures,
  tab,
  place,
  onTab,
  onChange,
  onFix,
  onAct,
  whenSaved,
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
  /** Where the node is in the graph that is shown. */
  place: Place | undefined;
  onTab: (tab: string) => void;
  onChange: FormProps["onChange"];
  onFix: FormProps["onFix"];
  onAct: (action: "publish" | "disable" | "enable") => void;
  whenSaved: (action: () => void) => void;
  onDuplicate: () => void;
  onDelete: () => void;
  onClose: () => void;
}) {
  const findings = allFindings(state?.report);
  const form: FormProps = { node, findings, onChange, onFix };
  const blocked = (state?.report?.errors.length ?? 0) > 0;
  const published = state?.published !== null && state?.published === state?.version;
  const modes = [readField(node, "fallback.mode"), readField(node, "fallback.then")];
  const uses = (mode: (typeof MODES)[number]) => modes.includes(mode);
  return (
    <section className="card panel" aria-label={`Node ${id}`}>
      <div className="card-head">
        <h2 className="cut">{id}</h2>
        <BadgeLabel badge={badge} />
        <button type="button" className="button quiet" onClick={onClose} aria-label="Close the panel">
          ×
        </button>
      </div>
      {figures && figures.requests > 0 && (
        <div className="panel-figures">
          <Numbers figures={figures} />
          <Strip figures={figures} />
        </div>
      )}
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
          <TextField path="purpose" label="Purpose" form={form} placeholder="gap_fill, variation…" />
          <ChoiceField
            path="strategy"
            label="Written anew"
            form={form}
            choices={STRATEGIES}
            words={STRATEGY_WORDS}
            none="not chosen"
          />
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
            label="The mood changes"
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
            placeholder="phone_ring, then Enter"
          />
          <WordsField
            path="constraints.avoidElements"
            label="Must not have"
            form={form}
            placeholder="gun, then Enter"
          />
          <WordsField
            path="constraints.contentRules"
            label="Rules"
            form={form}
            placeholder="keep_characters, then Enter"
          />
        </Tabs.Content>
        <Tabs.Content value="fallback" className="panel-form">
          <ChoiceField path="fallback.mode" label="When generation fails" form={form} choices={MODES} />
          {uses("default_content") && (
            <TextField path="fallback.defaultContentId" label="Default content" form={form} />
          )}
          {uses("retry") && <NumberField path="fallback.retries" label="Retries" form={form} />}
          {uses("retry") && (
            <ChoiceField path="fallback.then" label="After the retries" form={form} choices={MODES} />
          )}
          <NumberField path="fallback.timeoutMs" label="Deadline" unit="ms" form={form} />
          <StandIn id={id} key={JSON.stringify(node)} />
        </Tabs.Content>
        <Tabs.Content value="test" className="panel-form">
          <Generate
            id={id}
            kind={kindOf(node)}
            blocked={blocked}
            version={state?.published}
            place={place}
            whenSaved={whenSaved}
          />
          <div>
            <h3>Findings</h3>
            {findings.length === 0 ? (
              <p className="live">Nothing contradicts itself.</p>
            ) : (
              <Findings found={findings} onFix={onFix} named />
            )}
          </div>
          <details>
            <summary className="dim">As JSON</summary>
            <JsonText value={node} />
          </details>
        </Tabs.Content>
      </Tabs.Root>
      <div className="card-foot">
        <button type="button" className="button quiet danger" onClick={onDelete}>
          Remove
        </button>
        <button type="button" className="button quiet" onClick={onDuplicate}>
          Duplicate
        </button>
        <button
          type="button"
          className="button quiet"
          onClick={() => onAct(state?.disabled ? "enable" : "disable")}
        >
          {state?.disabled ? "Enable" : "Disable"}
        </button>
        <span className="grow" />
        {published && tab !== "test" ? (
          <button type="button" className="button main" onClick={() => onTab("test")}>
            Generate…
          </button>
        ) : (
          <button
            type="button"
            className="button main"
            disabled={blocked || published}
            title={blocked ? "its errors must be repaired first" : undefined}
            onClick={() => onAct("publish")}
          >
            {published ? "Published" : "Publish"}
          </button>
        )}
      </div>
    </section>
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

/** The kind that a node generates. */
export const kindOf = (node: NodeConfig | undefined): string => {
  const kind = node === undefined ? undefined : readField(node, "generationType");
  return typeof kind === "string" ? kind : "not chosen";
};
