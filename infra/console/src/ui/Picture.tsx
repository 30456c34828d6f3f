// Contents as the gateway draws them.

import { useQuery } from "@tanstack/react-query";
import { call, type Problem, type Query } from "../api/http";
import { ErrorNote } from "./parts";

/** A result's content; drawn anew with each version of it. */
export const Picture = ({ id, title, version }: { id: string; title: string; version: number }) => (
  <Drawing path={`/api/v1/generations/${encodeURIComponent(id)}/picture`} title={title} version={version} />
);

/** A prepared content. */
export const SamplePicture = ({ name }: { name: string }) => (
  <Drawing path={`/api/v1/samples/${encodeURIComponent(name)}/picture`} title={name} version={0} />
);

/** A content under review, without what wrote it. */
export const ReviewPicture = ({ item, side, title }: { item: string; side: number; title: string }) => (
  <Drawing
    path={`/api/v1/reviews/items/${encodeURIComponent(item)}/picture`}
    query={{ side }}
    title={title}
    version={0}
  />
);

function Drawing({
  path,
  query,
  title,
  version,
}: {
  path: string;
  query?: Query;
  title: string;
  version: number;
}) {
  const picture = useQuery<string, Problem>({
    queryKey: ["picture", path, query, version],
    queryFn: async ({ signal }) => {
      const response = await call("GET", path, {
        signal,
        // The page's own colours replace those of the drawing.
        query: { theme: "light", ...query },
        headers: { Accept: "image/svg+xml" },
      });
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
