// Settings: tokens (shown once), the audit of changes, and this browser's theme.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useSession } from "../api/hooks";
import { get, type Problem, post, remove } from "../api/http";
import { setTheme, type Theme, theme } from "../shell/theme";
import { Command, Copy, Empty, ErrorNote, Time } from "../ui/parts";

interface Token {
  id: string;
  name: string;
  role: string;
  workspace: string | null;
  created: string;
  expires: string | null;
  last_used: string | null;
  state: "valid" | "expired" | "revoked";
}
interface Change {
  id: number;
  at: string;
  via: string;
  token_id: string | null;
  action: string;
  target: string;
}

const ROLES = ["client", "viewer", "designer", "operator", "admin"];

export function Settings() {
  const session = useSession();
  const admin = session.data?.role === "admin";
  return (
    <>
      <div className="page-head">
        <h1>Settings</h1>
        <div className="grow" />
        {session.data?.via === "session" && (
          <button
            type="button"
            className="button"
            onClick={() => void remove("/api/session").then(() => location.reload())}
          >
            Sign out
          </button>
        )}
      </div>
      <div className="stack">
        <ThemeCard />
        {admin ? (
          <>
            <Tokens />
            <Changes />
          </>
        ) : (
          <div className="note">
            <strong>Tokens and changes are the administrator's</strong>
            <span className="dim">Your role is {session.data?.role ?? "unknown"}.</span>
          </div>
        )}
      </div>
    </>
  );
}

function ThemeCard() {
  const [chosen, setChosen] = useState<Theme>(theme());
  return (
    <section className="card" aria-label="Theme">
      <div className="card-head">
        <h2>Theme</h2>
        <fieldset className="quick">
          <legend className="hidden">Theme</legend>
          {(["system", "light", "dark"] as const).map((each) => (
            <button
              key={each}
              type="button"
              aria-pressed={chosen === each}
              onClick={() => {
                setTheme(each);
                setChosen(each);
              }}
            >
              {each}
            </button>
          ))}
        </fieldset>
      </div>
    </section>
  );
}

function Tokens() {
  const queries = useQueryClient();
  const [shown, setShown] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const tokens = useQuery<Token[], Problem>({
    queryKey: ["tokens"],
    queryFn: ({ signal }) => get<Token[]>("/api/v1/tokens", undefined, signal),
    retry: false,
  });
  const refresh = () => void queries.invalidateQueries({ queryKey: ["tokens"] });

  const create = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const given = new FormData(form);
    const text = (name: string) => String(given.get(name) ?? "").trim();
    setError(null);
    post<{ token: string }>("/api/v1/tokens", {
      name: text("name"),
      role: text("role"),
      ...(text("workspace") && { workspace: text("workspace") }),
    }).then(({ token }) => {
      form.reset();
      setShown(token);
      refresh();
    }, setError);
  };
  return (
    <section className="card" aria-label="Tokens">
      <div className="card-head">
        <h2>Tokens</h2>
        <span className="faint">a secret is shown once; only its hash is kept</span>
      </div>
      <form className="card-body token-form" onSubmit={create}>
        <input className="input" name="name" required maxLength={100} placeholder="Name" aria-label="Name" />
        <select className="input" name="role" aria-label="Role" defaultValue="viewer">
          {ROLES.map((role) => (
            <option key={role}>{role}</option>
          ))}
        </select>
        <input
          className="input"
          name="workspace"
          placeholder="Workspace; empty: all"
          aria-label="Workspace"
        />
        <button type="submit" className="button main">
          Create token
        </button>
      </form>
      {error !== null && (
        <div className="card-body">
          <ErrorNote error={error} />
        </div>
      )}
      {shown !== null && (
        <div className="card-body">
          <div className="note warn">
            <strong>Copy it now: it is not shown again</strong>
            <Command text={shown} />
            <button type="button" className="button" onClick={() => setShown(null)}>
              I have it
            </button>
          </div>
        </div>
      )}
      {tokens.error && <ErrorNote error={tokens.error} />}
      {tokens.data && tokens.data.length === 0 ? (
        <Empty
          title="No tokens: whoever reaches this port is the administrator"
          command="understudy tokens create me --role admin"
        />
      ) : (
        <div className="scroll">
          <table className="table">
            <thead>
              <tr>
                <th>Name</th>
                <th>Id</th>
                <th>Role</th>
                <th>Workspace</th>
                <th>Created</th>
                <th>Last used</th>
                <th>Expires</th>
                <th>
                  <span className="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {tokens.data?.map((token) => (
                <tr key={token.id} className={token.state !== "valid" ? "faint" : ""}>
                  <td>{token.name}</td>
                  <td className="mono">{token.id}</td>
                  <td>{token.role}</td>
                  <td>{token.workspace ?? "all"}</td>
                  <td>
                    <Time at={token.created} />
                  </td>
                  <td>{token.last_used ? <Time at={token.last_used} /> : "never"}</td>
                  <td>{token.expires ? <Time at={token.expires} /> : "never"}</td>
                  <td className="num">
                    {token.state !== "valid" ? (
                      token.state
                    ) : (
                      <button
                        type="button"
                        className="button danger"
                        onClick={() => remove(`/api/v1/tokens/${token.id}`).then(refresh, setError)}
                      >
                        Revoke
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Changes() {
  const changes = useQuery<Change[], Problem>({
    queryKey: ["changes"],
    queryFn: ({ signal }) => get<Change[]>("/api/v1/changes", { limit: 100 }, signal),
    refetchInterval: 5000,
    retry: false,
  });
  return (
    <section className="card" aria-label="Changes">
      <div className="card-head">
        <h2>Changes</h2>
        <span className="faint">who changed what, newest first</span>
      </div>
      {changes.error && <ErrorNote error={changes.error} />}
      {changes.data && changes.data.length === 0 && <Empty title="Nothing was changed yet" />}
      {changes.data && changes.data.length > 0 && (
        <table className="table">
          <tbody>
            {changes.data.map((change) => (
              <tr key={change.id}>
                <td>
                  <Time at={change.at} />
                </td>
                <td className="mono">{change.token_id ?? change.via}</td>
                <td>{change.action}</td>
                <td className="mono">
                  {change.target} <Copy text={change.target} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
