/** Reads the URL of an HTTP request, and checks its parameters. */
import { show } from "../data/checks.ts";
import { invalidRequest } from "./refusal.ts";

/** The parameters that a request may have in its URL: `hint` names them in a refusal. */
export interface KnownParameters {
  readonly names: readonly string[];
  readonly hint: string;
}

/** Returns the path of a URL. The class `URL` is slow, and is used only if the path may have to be normalized. */
export function pathOf(url: string): string {
  if (!PLAIN_URL.test(url)) return urlOf(url).pathname;
  const query = url.indexOf("?");
  return url.slice(url.indexOf("/", HTTPS.length), query < 0 ? undefined : query);
}

/** Returns the parameters of the URL of a request. */
export function queryOf({ url }: Request): URLSearchParams {
  return urlOf(url).searchParams;
}

/**
 * Throws a refusal if the URL has a parameter that is neither known nor among those that the program reads (`others`),
 * or if it has a known one twice.
 * @decides an unknown parameter in a URL is refused with status 400
 */
export function checkParameters(request: Request, { names, hint }: KnownParameters, others: ReadonlySet<string>): void {
  const query = queryOf(request);
  for (const name of query.keys()) {
    if (names.includes(name)) {
      if (query.getAll(name).length > 1) throw invalidRequest(`the URL has the parameter ${name} more than once`);
    } else if (!others.has(name)) {
      throw invalidRequest(`the URL has an unknown parameter ${show(name)}: this request takes ${hint}`);
    }
  }
}

/** Returns the host, with its port, of a URL or an origin; `undefined`: the text is neither. */
export function hostOf(origin: string): string | undefined {
  return URL.parse(origin)?.host;
}

/** Decodes a part of a path, or the text of a place. Throws a refusal if its escapes are invalid. */
export function decodedPart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalidRequest("the path, or the header Last-Event-ID, has an invalid percent-encoding");
  }
}

/**
 * Parses the URL of a request. Throws a refusal if the request's `Host` is invalid. Without `Host`, as some proxies
 * send requests of HTTP/1.0, `Bun.serve` gives only the path.
 */
function urlOf(url: string): URL {
  const parsed = URL.parse(url.startsWith("/") ? `http://host.invalid${url}` : url);
  if (parsed === null) throw invalidRequest("the URL of the request is not valid");
  return parsed;
}

/**
 * Matches a URL whose path needs no normalization: it has no escapes, dots or other characters that the class `URL`
 * changes.
 */
const PLAIN_URL = /^https?:\/\/[\w.:[\]-]+\/[\w/-]*(?:\?|$)/;
const HTTPS = "https://";
