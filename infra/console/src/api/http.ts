// Calls of the gateway's API: JSON in and out, problems (RFC 9457) as errors.

/** One fault of a request, at a field. */
export interface Fault {
  detail: string;
  /** JSON Pointer into the body. */
  pointer?: string;
  /** Query parameter or header. */
  parameter?: string;
}

interface ProblemDocument {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  code?: string;
  request_id?: string;
  errors?: Fault[];
}

/** An answer of the gateway that is no success. */
export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly type: string | undefined;
  readonly code: string | undefined;
  readonly requestId: string | undefined;
  readonly errors: Fault[];
  /** The whole document; some problems carry more than the standard's fields. */
  readonly document: Record<string, unknown>;

  constructor(status: number, document: ProblemDocument) {
    super(document.detail ?? document.title ?? `The gateway answered ${status}.`);
    this.name = "Problem";
    this.status = status;
    this.title = document.title ?? "Error";
    this.type = document.type;
    this.code = document.code;
    this.requestId = document.request_id;
    this.errors = document.errors ?? [];
    this.document = document as Record<string, unknown>;
  }
}

export type Query = Record<string, string | number | boolean | string[] | null | undefined>;

interface CallOptions {
  query?: Query;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Path with a query; empty values are left out, lists repeat their name. */
export function withQuery(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== null && each !== undefined && each !== "") search.append(name, String(each));
    }
  }
  const text = search.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** Make a call; the whole response, checked.  Throws `Problem`, or `TypeError` where the gateway is away. */
export async function call(method: string, path: string, options: CallOptions = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  const init: RequestInit = { method, headers, credentials: "same-origin" };
  if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(options.body);
  }
  if (options.signal) init.signal = options.signal;
  const response = await fetch(withQuery(path, options.query), init);
  if (response.ok) return response;
  const text = await response.text();
  let document: ProblemDocument;
  try {
    document = JSON.parse(text) as ProblemDocument;
  } catch {
    document = { title: response.statusText, detail: text.slice(0, 300) };
  }
  throw new Problem(response.status, document);
}

async function json<T>(method: string, path: string, options: CallOptions): Promise<T> {
  const response = await call(method, path, options);
  return (response.status === 204 ? undefined : await response.json()) as T;
}

export const get = <T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> =>
  json<T>("GET", path, { ...(query && { query }), ...(signal && { signal }) });

export const post = <T>(path: string, body?: unknown, options: CallOptions = {}): Promise<T> =>
  json<T>("POST", path, { ...options, body });

export const put = <T>(path: string, body: unknown, options: CallOptions = {}): Promise<T> =>
  json<T>("PUT", path, { ...options, body });

export const remove = <T>(path: string, options: CallOptions = {}): Promise<T> =>
  json<T>("DELETE", path, options);
