// Sign-in: a token becomes a cookie that no script can read.

import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { post } from "../api/http";
import { Mask } from "../ui/icons";
import { Command, ErrorNote } from "../ui/parts";

export function SignIn() {
  const queries = useQueryClient();
  const [token, setToken] = useState("");
  const [error, setError] = useState<unknown>(null);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    post("/api/session", { token: token.trim() }).then(
      () => queries.invalidateQueries(),
      (failure: unknown) => setError(failure),
    );
  };
  return (
    <main className="empty" style={{ minHeight: "80vh", alignContent: "center" }}>
      <span className="brand" style={{ padding: 0 }}>
        <Mask /> Understudy
      </span>
      <form onSubmit={submit} style={{ display: "flex", gap: 8, width: "min(440px, 100%)" }}>
        <label className="hidden" htmlFor="token">
          Token
        </label>
        <input
          id="token"
          className="input"
          style={{ flex: 1 }}
          type="password"
          autoComplete="current-password"
          placeholder="Token, us_…"
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
        <button type="submit" className="button main" style={{ height: 30 }} disabled={token === ""}>
          Sign in
        </button>
      </form>
      {error !== null && <ErrorNote error={error} />}
      <span>An administrator makes one:</span>
      <Command text="understudy tokens create console --role viewer" />
    </main>
  );
}
