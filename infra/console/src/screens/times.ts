// When a request was asked, when it is due, and when it ended.

import type { Explanation } from "../api/model";

/** When the request was asked, and when the pipeline promises its end; milliseconds since the epoch. */
export function times(story: Explanation): { asked: number; deadline: number | null; ended: number | null } {
  const first = story.events[0];
  const asked = first ? Date.parse(first.time) : Date.now();
  const timer = story.events.findLast((event) => event.event === "timer");
  const end = story.events.findLast((event) => event.event === "result");
  const limit = timer?.data.deadline_ms;
  return {
    asked,
    deadline: typeof limit === "number" ? asked + limit : null,
    ended: end ? Date.parse(end.time) : null,
  };
}
