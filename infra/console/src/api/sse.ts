// One reading of an event stream that is not the browser's shared one.

import { createParser } from "eventsource-parser";
import { call } from "./http";
import type { PipelineEvent } from "./model";

/** Hand every event of a stream to a function, one after the other, until the stream or the signal ends. */
export async function readEvents(
  path: string,
  take: (event: PipelineEvent, name: string) => void | Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const response = await call("GET", path, { signal, headers: { Accept: "text/event-stream" } });
  if (response.body === null) return;
  const found: [string, string][] = [];
  const parser = createParser({ onEvent: ({ event, data }) => found.push([event ?? "message", data]) });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    parser.feed(value);
    for (const [name, data] of found.splice(0)) {
      if (name !== "bye" && data !== "") await take(JSON.parse(data) as PipelineEvent, name);
    }
  }
}
