/**
 * The HTTP server of the dashboard: serves the page's files, sends its data as a stream, and carries out changes.
 * `authentication.ts` decides about access.
 */
import type { LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Access, type AccessRefusal, NO_SESSION, SECURITY_HEADERS } from "./authentication.ts";
import { readChange } from "../changing/allowed_changes.ts";
import type { ChangeAnswer, ChangeRequest } from "../view.ts";
import type { Streams } from "./streams.ts";
import { PAGE_FILES, type PageFile } from "../page/page.ts";

/** Options of {@link DashboardServer.listen}. */
interface ServerOptions {
  /** Name or address on which the server listens. */
  readonly host: string;
  /** Port on which the server listens; 0: any free port. */
  readonly port: number;
  readonly streams: Streams;
  /** Functions that read data for a browser, by their name in the browser's request. */
  readonly reads: Readonly<Record<string, Read>>;
  /** Carries out a change for a browser; `undefined`: changes are not allowed. */
  readonly change: ((request: ChangeRequest) => Promise<ChangeAnswer>) | undefined;
}

/**
 * Reads data for a browser's request. `given`: returns a parameter of the request, empty if it is absent. Resolves
 * with the data; a string: the reason of a refusal; `undefined`: not found.
 */
export type Read = (given: (parameter: string) => string) => Promise<object | string | undefined>;

/** A running server of the dashboard. */
export class DashboardServer implements AsyncDisposable {
  /** Address for the browser, with the token. */
  readonly address: string;
  readonly #http: Server;
  /** The streams of data to the connected browsers. */
  readonly streams: Streams;

  private constructor(http: Server, { host, streams }: ServerOptions, { token }: Access) {
    this.#http = http;
    this.streams = streams;
    const { port } = http.address() as AddressInfo; // cast: a server that listens on a port has an `AddressInfo`
    const name = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host;
    this.address = `http://${name}:${port}/?token=${token}`;
  }

  /** Starts to listen. Rejects with the error of the operating system if the server cannot listen. */
  static async listen(options: ServerOptions): Promise<DashboardServer> {
    const access = new Access(options.host);
    const http = createServer((request, response) => {
      handle(request, response, access, options).catch((error: Error) => {
        if (!response.headersSent) refuse(response, { status: 500, message: error.message });
        else response.destroy();
      });
    });
    // the host's name is looked up before listening, because Bun (1.4) gives errors of unknown names any code, such as
    // EADDRINUSE
    const found = await lookup(options.host);
    if ("Deno" in globalThis) await requestListen(found, options.port);
    await new Promise<void>((resolve, reject) => {
      http.once("error", reject);
      http.listen(options.port, options.host, resolve);
    });
    return new DashboardServer(http, options, access);
  }

  /** Ends all connections, and the server. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.streams.close();
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#http.closeAllConnections();
    await closed;
  }
}

/**
 * Rejects with `EPERM` if Deno does not permit listening. Deno's server (2.9.6) would throw that error where it
 * cannot be caught.
 */
async function requestListen({ address, family }: LookupAddress, port: number): Promise<void> {
  const name = `${family === 6 ? `[${address}]` : address}:${port}`;
  const { state } = await Deno.permissions.request({ name: "net", host: name });
  if (state !== "granted") throw Object.assign(new Error(`--allow-net=${name}`), { code: "EPERM" });
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  access: Access,
  options: ServerOptions,
): Promise<void> {
  const { method = "GET", headers } = request;
  const wrong = access.refusesOrigin({ method, headers });
  if (wrong !== undefined) return refuse(response, wrong);
  const { url: path = "" } = request;
  // the path is joined as text, not resolved as a URL: in `//x`, x would become the host. A path without `/` at its
  // beginning becomes an unknown path
  const url = new URL(`http://dashboard${path.startsWith("/") ? path : "/-"}`);
  if (method === "GET" && url.pathname === "/") return enter(response, url, access);
  // the same refusal for every other path, so that nobody can search for the secret folder
  if (!url.pathname.startsWith(access.folder)) return refuse(response, NO_SESSION);
  const stranger = access.refusesSession({ method, headers });
  if (stranger !== undefined) return refuse(response, stranger);
  const name = url.pathname.slice(access.folder.length) || "index.html";
  if (name === "change") return await change(request, response, options);
  if (method !== "GET") return refuse(response, { status: 405, message: "only GET" });
  if (name === "stream") return stream(response, options.streams);
  if (Object.hasOwn(options.reads, name)) {
    const read = await options.reads[name]((parameter) => url.searchParams.get(parameter) ?? "");
    if (typeof read === "object") return answer(response, read);
    if (read !== undefined) return refuse(response, { status: 400, message: read });
    const message = name === "letter" ? "it is no dead letter any more" : "nothing is stored of it";
    return refuse(response, { status: 404, message });
  }
  if (!Object.hasOwn(PAGE_FILES, name)) return refuse(response, { status: 404, message: "there is no such file" });
  const { type, text }: PageFile = PAGE_FILES[name];
  response.writeHead(200, { ...SECURITY_HEADERS, "content-type": type }).end(text);
}

/** Gives the browser the cookie in exchange for the token, and redirects it to the page's address without the token. */
function enter(response: ServerResponse, url: URL, access: Access): void {
  const token = url.searchParams.get("token");
  if (token === null || !access.isToken(token)) return refuse(response, NO_SESSION);
  response.writeHead(303, { ...SECURITY_HEADERS, "set-cookie": access.cookie, location: access.folder }).end();
}

function stream(response: ServerResponse, streams: Streams): void {
  response.on("close", () => streams.remove(response));
  response.on("error", () => streams.remove(response));
  const type = "text/event-stream; charset=utf-8";
  // the header x-accel-buffering tells nginx to pass on parts of the response before it ends
  response.writeHead(200, { ...SECURITY_HEADERS, "content-type": type, "x-accel-buffering": "no" });
  if (!streams.add(response)) response.end("event: full\ndata: {}\n\n");
}

async function change(request: IncomingMessage, response: ServerResponse, { change }: ServerOptions): Promise<void> {
  if (request.method !== "POST") return refuse(response, { status: 405, message: "only POST" });
  if (change === undefined) return refuse(response, READ_ONLY);
  if (request.headers["content-type"] !== "application/json") {
    return refuse(response, { status: 415, message: "JSON only" });
  }
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) {
    body += chunk;
    if (body.length > MAX_BODY) return refuse(response, TOO_LONG);
  }
  const wanted = readChange(body);
  if (typeof wanted === "string") return refuse(response, { status: 400, message: wanted });
  answer(response, await change(wanted));
}

function answer(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { ...SECURITY_HEADERS, "content-type": "application/json" }).end(JSON.stringify(value));
}

function refuse(response: ServerResponse, { status, message }: AccessRefusal): void {
  const headers = { ...SECURITY_HEADERS, "content-type": "text/plain; charset=utf-8" };
  response.writeHead(status, headers).end(`${message}\n`);
}

/**
 * Maximum length of a request for a change, in characters: of the longest payload that can be edited
 * (`letter_edit.ts`), JSON writes each quote, backslash and line break as two.
 */
const MAX_BODY = 524_288;
const TOO_LONG: AccessRefusal = { status: 413, message: `at most ${MAX_BODY} characters` };
const READ_ONLY: AccessRefusal = { status: 403, message: "read-only: start `catga dashboard` with --allow-changes" };
