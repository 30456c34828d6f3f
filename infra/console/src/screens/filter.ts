// The one filter vocabulary, as text (`kind:layout origin:golden_sample "a forest"`), as a URL and as a query.

/** Words of the vocabulary that the console writes into a URL. */
export const WORDS = [
  "id",
  "kind",
  "status",
  "origin",
  "code",
  "stage",
  "provider",
  "model",
  "workspace",
  "node",
  "since",
  "until",
] as const;
export type Word = (typeof WORDS)[number];

/** A filter; an absent word filters nothing.  `text` is searched for in prompts and contents. */
export type Filter = Partial<Record<Word | "text", string>>;

/** Values that are offered for a word. */
export const HINTS: Partial<Record<Word, string[]>> = {
  kind: ["layout", "plot", "scene", "transition", "dialogue", "asset", "custom"],
  origin: ["live", "cache", "scripted", "golden_sample", "default_content", "placeholder", "none"],
  status: [
    "success",
    "cached",
    "cached_fallback",
    "fail_fallback",
    "fail_validation",
    "failed",
    "skipped",
    "placeholder",
    "cancelled",
    "rejected",
  ],
  stage: ["context-build", "freeform-gen", "structuring", "validate-repair", "fallback"],
  since: ["5m", "1h", "24h", "7d"],
};

const isWord = (name: string): name is Word => (WORDS as readonly string[]).includes(name);

/** Read a search text.  What names no word is searched for in prompts and contents. */
export function parseFilter(text: string): Filter {
  const filter: Filter = {};
  const free: string[] = [];
  for (const [part] of text.matchAll(/[a-z]+:"[^"]*"|"[^"]*"|\S+/g)) {
    const at = part.indexOf(":");
    const name = at > 0 ? part.slice(0, at) : "";
    const value = part.slice(at + 1).replace(/^"|"$/g, "");
    if (name === "text" && value !== "") free.push(value);
    else if (at > 0 && isWord(name) && value !== "") filter[name] = value;
    else free.push(part.replace(/^"|"$/g, ""));
  }
  if (free.length > 0) filter.text = free.join(" ");
  return filter;
}

const quoted = (value: string): string => (/[\s"]/.test(value) ? `"${value}"` : value);

/** Write a filter as a search text. */
export const formatFilter = (filter: Filter): string =>
  [
    ...WORDS.flatMap((word) => (filter[word] ? [`${word}:${quoted(filter[word])}`] : [])),
    ...(filter.text ? [isWord(filter.text.split(":")[0] ?? "") ? `"${filter.text}"` : filter.text] : []),
  ].join(" ");

/** The filter in a page's URL; anything else in it is left out. */
export function readFilter(search: Record<string, unknown>): Filter {
  const filter: Filter = {};
  for (const name of [...WORDS, "text"] as const) {
    const value = search[name];
    if (typeof value === "string" && value !== "") filter[name] = value;
    else if (typeof value === "number") filter[name] = String(value);
  }
  return filter;
}

/** Query parameters of the API's lists. */
export const toQuery = ({ text, ...words }: Filter): Record<string, string> => ({
  ...(words as Record<string, string>),
  ...(text ? { q: text } : {}),
});

/** Options of the command line. */
export const toOptions = (filter: Filter): string =>
  [...WORDS, "text" as const]
    .flatMap((word) => (filter[word] ? [`--${word} ${shell(filter[word])}`] : []))
    .join(" ");

/** A word that a POSIX shell reads as it is. */
export const shell = (value: string): string =>
  /^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
