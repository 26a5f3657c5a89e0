/**
 * Controls access to the dashboard. A page of another origin must neither read nor change anything: so the `Host` of
 * a request has to be an address, `localhost` or the name that the operator gave (and not another name that an
 * attacker's DNS points here), its `Origin`, if it has one, the page's own, and all requests except the exchange of
 * the token need the cookie. The page's own origin has the protocol and the host that a reverse proxy names in
 * `X-Forwarded-Proto` and `X-Forwarded-Host`: a page of another origin cannot set these headers, because the browser
 * asks first if they are allowed, and no response here allows them.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";

/** The parts of an HTTP request that decide about access. */
export interface AccessRequest {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** A refusal of an HTTP request. */
export interface AccessRefusal {
  /** Status of the HTTP response that refuses the request. */
  readonly status: number;
  readonly message: string;
}

/** Refusal for a browser that has not opened the address printed by the tool. */
export const NO_SESSION: AccessRefusal = {
  status: 401,
  message: "open the address that `catga dashboard` printed: it lets this browser in",
};

/** The secrets of one run of the dashboard. */
export class Access {
  /**
   * Token in the address that the tool prints. Users who have it may look; with `--allow-changes` they may also make
   * changes.
   */
  readonly token = randomBytes(24).toString("base64url");
  /**
   * Secret folder in the page's address, so that the browser sends the cookie to no other server on another port of
   * this machine.
   */
  readonly folder = `/${randomBytes(9).toString("base64url")}/`;
  readonly #session = randomBytes(24).toString("base64url");
  readonly #host: string;

  /** `host`: name or address on which the server listens. */
  constructor(host: string) {
    this.#host = host.toLowerCase();
  }

  /** Returns true if a text is the token in the printed address. */
  isToken(text: string): boolean {
    return isSame(text, this.token);
  }

  /** Value of the header `Set-Cookie` that the browser gets in exchange for the token. */
  get cookie(): string {
    return `${COOKIE}=${this.#session}; Path=${this.folder}; HttpOnly; SameSite=Strict`;
  }

  /**
   * Returns the refusal of a request whose host or origin is wrong, whoever has sent it; `undefined`: both are right.
   */
  refusesOrigin({ method, headers }: AccessRequest): AccessRefusal | undefined {
    const host = one(headers.host);
    if (host === undefined || !this.#isHost(host)) {
      const proxy = "a reverse proxy has to send an address as Host";
      const message = `this address is not served here: open the one that \`catga dashboard\` printed (${proxy})`;
      return { status: 421, message };
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

  /**
   * Returns the refusal of a request for data or changes that has no cookie; `undefined`: it has the cookie.
   * @decides who gets in
   */
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

/**
 * Headers of all responses. They forbid the browser to load scripts, resources and frames that this server does not
 * serve as files.
 */
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

/** Returns the origin of the page as the browser sees it. */
function ownOrigin(headers: AccessRequest["headers"], host: string): string {
  const forwarded = (name: string) => one(headers[name])?.split(",", 1)[0].trim();
  return `${forwarded("x-forwarded-proto") ?? "http"}://${forwarded("x-forwarded-host") ?? host}`;
}

function one(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}

/** Compares two texts in a time that does not depend on them. */
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
