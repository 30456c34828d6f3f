import { QueryClient, QueryObserver } from "@tanstack/react-query";
import { expect, test } from "vitest";
import { refresh } from "./refresh";

test("an event during the first load is not lost", async () => {
  const queries = new QueryClient();
  const answers = ["running", "success"];
  let open: (() => void) | undefined;
  const observer = new QueryObserver(queries, {
    queryKey: ["generation", "a"],
    queryFn: async () => {
      const read = answers.shift();
      await new Promise<void>((resolve) => {
        open = resolve;
      });
      return read;
    },
  });
  const stop = observer.subscribe(() => undefined);
  const refreshed = refresh(queries, ["generation", "a"]);
  open?.();
  await new Promise((resolve) => setTimeout(resolve, 20));
  open?.();
  await refreshed;
  expect(queries.getQueryData(["generation", "a"])).toBe("success");
  stop();
});
