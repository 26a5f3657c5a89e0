/**
 * Who may talk to the dashboard. A page of another origin must neither read nor change anything: the `Host` of a
 * request is an address, `localhost` or the name that the operator gave (a name that an attacker's DNS points here is
 * none of them), its `Origin`, if it has one, is the page's own, and all but the exchange of the token needs the
 * cookie. The page's own origin has the protocol and the host that a reverse proxy names in `X-Forwarded-Proto` and
 * `X-Forwarded-Host`: a page of another origin cannot set these headers, because the browser asks first whether it may,
 * and nothing here allows it.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";

/** What of a request decides. */
export interface AccessRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A refusal. */
export interface AccessRefusal {
  /** Status of the HTTP response. */
  readonly status: number;
  readonly message: string;
}

/** A browser that has not opened the printed address. */
export const NO_SESSION: AccessRefusal = {
  status: 401,
  message: "open the address that `catga dashboard` printed: it lets this browser in",
};

/** The secrets of one run of the dashboard. */
export class Access {
  /** In the printed address; whoever has it may look, and with `--allow-changes` change. */
  readonly token = randomBytes(24).toString("base64url");
  /** The folder of the page, so that servers on other ports of this machine are not sent the cookie. */
  readonly folder = `/${randomBytes(9).toString("base64url")}/`;
  readonly #session = randomBytes(24).toString("base64url");
  readonly #host: string;

  /** `host`: the name or address that the server was told to listen on. */
  constructor(host: string) {
    this.#host = host.toLowerCase();
  }

  /** Whether this is the token of the printed address. */
  isToken(text: string): boolean {
    return isSame(text, this.token);
  }

  /** The value of `Set-Cookie` in exchange for the token. */
  get cookie(): string {
    return `${COOKIE}=${this.#session}; Path=${this.folder}; HttpOnly; SameSite=Strict`;
  }

  /** Why a request is refused whoever sends it; `undefined`: its host and origin are right. */
  refusesOrigin({ method, headers }: AccessRequest): AccessRefusal | undefined {
    const host = one(headers.host);
    if (host === undefined || !this.#isHost(host)) {
      return { status: 421, message: "this address is not served here: open the one that `catga dashboard` printed" };
    }
    const origin = one(headers.origin);
    if (origin === undefined ? method !== "GET" && method !== "HEAD" : origin !== ownOrigin(headers, host)) {
      const proxy = "a reverse proxy has to send X-Forwarded-Proto and X-Forwarded-Host";
      return { status: 403, message: `a page of another origin may not ask this (${proxy})` };
    }
    const site = one(headers["sec-fetch-site"]);
    if (method !== "GET" && site !== undefined && site !== "same-origin") {
      return { status: 403, message: "a page of another site may not ask this" };
    }
    return undefined;
  }

  /** Why a request for data or changes is refused; `undefined`: it has the cookie. */
  refusesSession({ headers }: AccessRequest): AccessRefusal | undefined {
    const site = one(headers["sec-fetch-site"]);
    const foreign = site !== undefined && site !== "same-origin" && site !== "none";
    const cookies = (one(headers.cookie) ?? "").split(";").map((text) => text.trim());
    const has = cookies.some((text) =>
      text.startsWith(`${COOKIE}=`) && isSame(text.slice(COOKIE.length + 1), this.#session)
    );
    return has && !foreign ? undefined : NO_SESSION;
  }

  #isHost(host: string): boolean {
    const [, name] = /^(\[[0-9a-f:.]+\]|[^:\s]+)(?::\d{1,5})?$/.exec(host.toLowerCase()) ?? [];
    if (name === undefined) return false;
    return name === "localhost" || name === this.#host || isIP(name.replace(/^\[|\]$/g, "")) !== 0;
  }
}

/** Of all responses. Nothing is run, loaded or framed that this server does not serve as a file. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; " +
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

const COOKIE = "catga_dashboard";

/** The origin of the page as the browser sees it. */
function ownOrigin(headers: AccessRequest["headers"], host: string): string {
  const forwarded = (name: string) => one(headers[name])?.split(",", 1)[0].trim();
  return `${forwarded("x-forwarded-proto") ?? "http"}://${forwarded("x-forwarded-host") ?? host}`;
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

/** Takes as long for every text. */
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
