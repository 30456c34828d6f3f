// Generating with a node: its draft as a test, its published version as a game asks for it.

import { Link } from "@tanstack/react-router";
import { useId, useState } from "react";
import { post } from "../../api/http";
import { sentence } from "../../ui/format";
import { Picture } from "../../ui/Picture";
import { Command, ErrorNote, OriginLabel } from "../../ui/parts";
import { shell } from "../filter";
import { useStory } from "../useStory";

/** A node's place in a graph. */
export interface Place {
  /** Fields of the request there, with the scenes on both sides. */
  request: Record<string, unknown>;
  onPrompt: (prompt: string) => void;
}

export function Generate({
  id,
  kind,
  blocked,
  version,
  place,
  whenSaved,
}: {
  id: string;
  kind: string;
  /** Its errors must be repaired first. */
  blocked: boolean;
  /** The version that requests use. */
  version: number | null | undefined;
  place: Place | undefined;
  whenSaved: (action: () => void) => void;
}) {
  const label = useId();
  const [typed, setTyped] = useState("");
  const [request, setRequest] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const prompt = place ? (typeof place.request.prompt === "string" ? place.request.prompt : "") : typed;
  const fields = { ...place?.request, ...(prompt !== "" && { prompt }) };
  const order = { kind, node: id, ...fields };
  const run = (ask: () => Promise<string>) => {
    setError(null);
    setRequest(null);
    whenSaved(() => ask().then(setRequest, setError));
  };
  const test = () =>
    run(() =>
      post<{ request_id: string }>(`/api/v1/nodes/${encodeURIComponent(id)}/test`, fields).then(
        (answer) => answer.request_id,
      ),
    );
  const generate = () =>
    run(() =>
      post<{ job_id: string }>("/api/generate-content", order, {
        headers: { Prefer: "respond-async" },
      }).then((answer) => answer.job_id),
    );
  const published = version !== null && version !== undefined;
  return (
    <div className="field">
      <label htmlFor={label}>{place ? "What happens here" : "What happens"}</label>
      <textarea
        id={label}
        className="input"
        rows={2}
        maxLength={4000}
        value={prompt}
        placeholder="A phone rings and the dance is over."
        onChange={(event) => (place ? place.onPrompt : setTyped)(event.target.value)}
      />
      <div className="form-foot">
        <button type="button" className="button" disabled={blocked} onClick={test}>
          Test the draft
        </button>
        <button type="button" className="button main" disabled={!published} onClick={generate}>
          Generate
        </button>
      </div>
      <p className="faint">
        {published
          ? "“Generate” asks as a game does, with what is published. A test has the draft; no player sees it, and no figure counts it."
          : "No player sees a test, and no figure counts it. “Publish” makes the node ready for requests; then “Generate” asks as a game does."}
      </p>
      {error !== null && <ErrorNote error={error} />}
      {request !== null && <Generated id={request} />}
      {published && (
        <details>
          <summary className="dim">Command and cache</summary>
          <Command
            text={`curl ${location.origin}/generate -H 'Content-Type: application/json' -d ${shell(JSON.stringify(order))}`}
          />
          <Invalidate id={id} />
        </details>
      )}
    </div>
  );
}

function Invalidate({ id }: { id: string }) {
  const [said, setSaid] = useState<string | null>(null);
  return (
    <button
      type="button"
      className="button quiet"
      title="The next request of each owner generates anew"
      onClick={() =>
        post<{ removed: number }>(`/api/v1/nodes/${encodeURIComponent(id)}/invalidate`, undefined).then(
          ({ removed }) => setSaid(`${removed} removed`),
          (failure: unknown) => setSaid(failure instanceof Error ? failure.message : String(failure)),
        )
      }
    >
      {said ?? "Clear cache"}
    </button>
  );
}

/** What comes of a request, as it comes. */
function Generated({ id }: { id: string }) {
  const { why, tokens } = useStory(id);
  const story = why.data;
  return (
    <div className="test-result" role="status">
      <p>
        <OriginLabel origin={story?.origin} />{" "}
        <span className="dim">{story?.reason && sentence(story.reason)}</span>{" "}
        <Link to="/requests/$id" params={{ id }}>
          open the request
        </Link>
      </p>
      {why.error && <ErrorNote error={why.error} retry={() => void why.refetch()} />}
      {story && story.origin !== null ? (
        <Picture id={id} title="Result" version={story.events.length} />
      ) : (
        <pre className="json prose">{tokens}</pre>
      )}
    </div>
  );
}
