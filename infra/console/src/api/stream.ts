// The one event stream of this browser.
//
// A browser opens six connections to a host (HTTP/1.1), so tabs share one stream: the tab that holds a Web Lock reads
// it and passes events on over a BroadcastChannel.  When that tab goes, the next one continues at the last event's id.

import { createParser } from "eventsource-parser";
import type { PipelineEvent } from "./model";

export type ConnectionState = "connecting" | "live" | "lost" | "signed-out";

export interface Connection {
  state: ConnectionState;
  /** What ended the stream last; `null` while all is well. */
  reason: string | null;
  /** Events that this browser did not get. */
  missed: number;
  /** Counts the times when all that was loaded may be out of date. */
  resets: number;
  /** Events in the last second. */
  rate: number;
}

type Listener = (event: PipelineEvent) => void;
type Message =
  | { kind: "event"; id: string | undefined; event: PipelineEvent }
  | { kind: "state"; connection: Connection }
  | { kind: "hello" };

const PATH = "/api/v1/events?progress=true";
const LOCK = "understudy-events";
/** Milliseconds until the first attempt to connect again, and at most. */
const RETRY_MS = 500;
const MOST_RETRY_MS = 5000;

export class EventStream {
  connection: Connection = { state: "connecting", reason: null, missed: 0, resets: 0, rate: 0 };
  private readonly listeners = new Set<Listener>();
  private readonly watchers = new Set<() => void>();
  private readonly channel = new BroadcastChannel(LOCK);
  private lastId: string | undefined;
  private leading = false;
  private count = 0;
  private opened = false;

  /** Begin; once for each page. */
  open(): void {
    if (this.opened) return;
    this.opened = true;
    this.channel.onmessage = (message: MessageEvent<Message>) => this.hear(message.data);
    this.channel.postMessage({ kind: "hello" } satisfies Message);
    setInterval(() => this.measure(), 1000);
    void navigator.locks.request(LOCK, () => this.lead());
  }

  /** Get events from now on; the function that ends it. */
  subscribe(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Hear of changes of `connection`; the function that ends it. */
  readonly watch = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher);
    return () => this.watchers.delete(watcher);
  };

  /** Whether this tab reads the stream for all. */
  get isLeader(): boolean {
    return this.leading;
  }

  private hear(message: Message): void {
    if (message.kind === "hello") {
      if (this.leading)
        this.channel.postMessage({ kind: "state", connection: this.connection } satisfies Message);
    } else if (message.kind === "state") {
      this.set(message.connection);
    } else {
      this.hand(message.id, message.event);
    }
  }

  private async lead(): Promise<never> {
    this.leading = true;
    let wait = RETRY_MS;
    for (;;) {
      try {
        await this.read(() => {
          wait = RETRY_MS;
        });
      } catch (error) {
        if (this.connection.state !== "signed-out") {
          this.tell({ state: "lost", reason: error instanceof Error ? error.message : String(error) });
        }
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
      wait = Math.min(wait * 2, MOST_RETRY_MS);
    }
  }

  private async read(connected: () => void): Promise<void> {
    const headers: Record<string, string> = { Accept: "text/event-stream" };
    if (this.lastId !== undefined) headers["Last-Event-ID"] = this.lastId;
    const response = await fetch(PATH, { headers, credentials: "same-origin", cache: "no-store" });
    if (response.status === 401 || response.status === 403) {
      this.tell({ state: "signed-out", reason: null });
      throw new Error("this browser is not signed in");
    }
    if (!response.ok || response.body === null) {
      const problem = (await response.json().catch(() => ({}))) as { detail?: string };
      throw new Error(problem.detail ?? `the gateway answered ${response.status}`);
    }
    connected();
    this.tell({ state: "live", reason: null });
    const parser = createParser({
      onEvent: ({ id, event, data }) => this.take(id, event ?? "message", data),
      onError: () => undefined,
    });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      parser.feed(value);
    }
    throw new Error(this.connection.reason ?? "the gateway closed the stream");
  }

  private take(id: string | undefined, event: string, data: string): void {
    if (id !== undefined) this.lastId = id;
    if (data === "") return;
    const value = JSON.parse(data) as Record<string, unknown>;
    if (event === "bye") {
      this.tell({ reason: `the gateway ended the stream: ${String(value.reason)}` });
    } else if (event === "lagged") {
      this.tell({ missed: this.connection.missed + Number(value.missed) });
    } else if (event === "reset") {
      this.lastId = undefined;
      this.tell({ resets: this.connection.resets + 1 });
    } else {
      const found = value as unknown as PipelineEvent;
      this.channel.postMessage({ kind: "event", id, event: found } satisfies Message);
      this.hand(id, found);
    }
  }

  private hand(id: string | undefined, event: PipelineEvent): void {
    if (id !== undefined) this.lastId = id;
    this.count += 1;
    for (const listener of this.listeners) listener(event);
  }

  private measure(): void {
    if (this.connection.rate !== this.count) this.set({ ...this.connection, rate: this.count });
    this.count = 0;
  }

  private tell(change: Partial<Connection>): void {
    const connection = { ...this.connection, ...change };
    this.set(connection);
    this.channel.postMessage({ kind: "state", connection } satisfies Message);
  }

  private set(connection: Connection): void {
    const before = this.connection;
    this.connection = { ...connection, rate: connection.rate };
    if (before.resets !== connection.resets || before.state !== connection.state || before !== connection) {
      for (const watcher of this.watchers) watcher();
    }
  }
}

export const stream = new EventStream();
