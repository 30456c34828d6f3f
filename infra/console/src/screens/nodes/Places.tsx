// What is beside the canvas: a scene's panel, the choice of what to connect, and the nodes without a graph.

import { Empty } from "../../ui/parts";
import { BadgeLabel, Numbers, Strip } from "./Canvas";
import { targetsOf } from "./graphEdits";
import type { Badge, Draft, Graph, Scene } from "./model";
import { nodeOf } from "./model";
import { kindOf } from "./Panel";

export function ConnectTo({
  graph,
  from,
  onConnect,
}: {
  graph: Graph;
  from: string;
  onConnect: (target: string) => void;
}) {
  return (
    <label className="field">
      Connect to…
      <select className="input" value="" onChange={(event) => onConnect(event.target.value)}>
        <option value="" disabled>
          choose
        </option>
        {targetsOf(graph, from).map((each) => (
          <option key={each.id} value={each.id}>
            {each.type === "scene" ? (each.title ?? each.id) : (nodeOf(graph, each) ?? each.id)}
          </option>
        ))}
      </select>
    </label>
  );
}

export function ScenePanel({
  scene,
  graph,
  onChange,
  onConnect,
  onAfter,
  onRemove,
}: {
  scene: Scene;
  graph: Graph;
  onChange: (scene: Scene, merge: boolean) => void;
  onConnect: (target: string) => void;
  onAfter: () => void;
  onRemove: () => void;
}) {
  return (
    <section className="card panel" aria-label={`Scene ${scene.id}`}>
      <div className="card-head">
        <h2>{scene.title ?? scene.id}</h2>
        <span className="faint">scene</span>
      </div>
      <div className="panel-form">
        {(["title", "mood", "summary"] as const).map((name) => (
          <label key={name} className="field">
            {name.charAt(0).toUpperCase() + name.slice(1)}
            <input
              className="input"
              maxLength={name === "summary" ? 1000 : 64}
              value={scene[name] ?? ""}
              onChange={(event) =>
                onChange({ ...scene, [name]: event.target.value === "" ? null : event.target.value }, true)
              }
            />
          </label>
        ))}
        <ConnectTo graph={graph} from={scene.id} onConnect={onConnect} />
      </div>
      <div className="card-foot">
        <button type="button" className="button danger" onClick={onRemove}>
          Remove
        </button>
        <span className="grow" />
        <button type="button" className="button" onClick={onAfter}>
          Add a node after it
        </button>
      </div>
    </section>
  );
}

export function NodeGrid({
  ids,
  nodes,
  badgeOf,
  figures,
  onOpen,
  onCreate,
  loaded,
}: {
  ids: string[];
  nodes: Draft["nodes"];
  badgeOf: (id: string) => Badge;
  figures: ReadonlyMap<string, Parameters<typeof Numbers>[0]["figures"]>;
  onOpen: (id: string) => void;
  onCreate: () => void;
  loaded: boolean;
}) {
  if (!loaded) return <div className="card" aria-busy="true" />;
  if (ids.length === 0) {
    return (
      <div className="card">
        <Empty
          title="No nodes yet"
          action={
            <button type="button" className="button main" onClick={onCreate}>
              Create a graph
            </button>
          }
        >
          A graph has the scenes of your game, and nodes between them: what is generated there, in which
          style, within which bounds. “Import” reads a scenario file instead, as <code>understudy warm</code>{" "}
          does.
        </Empty>
      </div>
    );
  }
  return (
    <ul className="node-grid">
      {ids.map((id) => (
        <li key={id}>
          <button type="button" className={`card-node ${badgeOf(id)}`} onClick={() => onOpen(id)}>
            <span className="card-node-head">
              <b className="cut">{id}</b>
              <BadgeLabel badge={badgeOf(id)} />
            </span>
            <span className="faint">{kindOf(nodes[id])}</span>
            <Numbers figures={figures.get(id)} />
            <Strip figures={figures.get(id)} />
          </button>
        </li>
      ))}
    </ul>
  );
}
