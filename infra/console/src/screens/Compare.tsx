// Two results side by side, drawn and field by field; or all pairs of a rerun.

import { useNavigate, useSearch } from "@tanstack/react-router";
import type { FormEvent } from "react";
import { Copy, Empty } from "../ui/parts";
import { Many } from "./CompareMany";
import { Pair } from "./ComparePair";
import "./request.css";
import "./replays.css";

export function Compare() {
  const { a, b, rerun } = useSearch({ from: "/compare" });
  const navigate = useNavigate();
  const choose = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    const text = (name: string) => String(given.get(name) ?? "").trim();
    void navigate({
      to: "/compare",
      search: text("rerun") !== "" ? { rerun: text("rerun") } : { a: text("a"), b: text("b") },
    });
  };
  return (
    <>
      <div className="page-head">
        <h1>Compare</h1>
        <div className="grow" />
        {a && b && <Copy text={`understudy compare ${a} ${b}`}>Copy as command</Copy>}
        {rerun && <Copy text={`understudy compare --rerun ${rerun}`}>Copy as command</Copy>}
      </div>
      <form className="toolbar compare-form" onSubmit={choose} key={`${a} ${b} ${rerun}`}>
        <input
          className="input mono"
          name="a"
          defaultValue={a ?? ""}
          placeholder="first request"
          aria-label="First request"
        />
        <input
          className="input mono"
          name="b"
          defaultValue={b ?? ""}
          placeholder="second request"
          aria-label="Second request"
        />
        <span className="faint">or</span>
        <input
          className="input mono"
          name="rerun"
          defaultValue={rerun ?? ""}
          placeholder="name of a rerun"
          aria-label="Rerun"
        />
        <button type="submit" className="button main">
          Compare
        </button>
      </form>
      {a && b ? (
        <Pair a={a} b={b} />
      ) : rerun ? (
        <Many rerun={rerun} />
      ) : (
        <div className="card">
          <Empty
            title="Choose two requests"
            command="understudy rerun --since 1h --set params.temperature=0.2"
          >
            In the list of requests, <span className="kbd">x</span> selects; two of them can be compared. A
            rerun compares many.
          </Empty>
        </div>
      )}
    </>
  );
}
