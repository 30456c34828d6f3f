// The text of a request while it is written.

import { useEffect, useState } from "react";
import { useEvents } from "../api/hooks";

/** Characters that are shown at most. */
const MOST = 20_000;

/** What was written so far; a new attempt begins anew. */
export function useTokens(id: string): string {
  const [text, setText] = useState("");
  useEffect(() => {
    setText("");
    void id;
  }, [id]);
  useEvents((event) => {
    if (event.request_id !== id) return;
    if (event.event === "progress" && typeof event.data.text === "string") {
      const added = event.data.text;
      setText((before) => (before + added).slice(-MOST));
    } else if (event.event === "context_built") setText("");
  });
  return text;
}
