// A result's content as the gateway draws it.

import { useQuery } from "@tanstack/react-query";
import { call, type Problem } from "../api/http";
import { ErrorNote } from "./parts";

export function Picture({ id, title, version }: { id: string; title: string; version: number }) {
  const picture = useQuery<string, Problem>({
    queryKey: ["generation", id, "picture", version],
    queryFn: async ({ signal }) => {
      const path = `/api/v1/generations/${encodeURIComponent(id)}/picture`;
      const response = await call("GET", path, { signal, headers: { Accept: "image/svg+xml" } });
      return response.text();
    },
    retry: false,
  });
  if (picture.error) return <ErrorNote error={picture.error} />;
  if (picture.data === undefined) return <div className="picture" aria-busy="true" />;
  // The drawing has no script, no style of others and no address in it: the gateway makes it from text alone.
  return (
    <div
      className="picture"
      role="img"
      aria-label={title}
      // biome-ignore lint/security/noDangerouslySetInnerHtml: see above
      dangerouslySetInnerHTML={{ __html: picture.data }}
    />
  );
}
