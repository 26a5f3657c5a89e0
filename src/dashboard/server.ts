/**
 * The HTTP server of the dashboard: the page's files, the stream of what it shows, and changes. `authentication.ts`
 * says who gets in.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Access, type Refusal, SECURITY_HEADERS } from "./authentication.ts";
import { readChange } from "./allowed_changes.ts";
import type {
  ChangeAnswer,
  ChangeRequest,
  EntitiesView,
  EntityView,
  LetterText,
  RunView,
  ScheduleRunsView,
  SearchView,
} from "./view.ts";
import type { Streams } from "./streams.ts";
import { PAGE_FILES, type PageFile } from "./page/page.ts";

/** Options of {@link DashboardServer.listen}. */
interface ServerOptions {
  /** What to listen on: a name or an address. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  readonly streams: Streams;
  /** Runs of workflows that a browser asks for. */
  runs(wanted: URLSearchParams): Promise<readonly RunView[]>;
  /** Reads an entity; `undefined`: there is none; a string: why it cannot be asked for. */
  entity(type: string, id: string): Promise<EntityView | string | undefined>;
  /** Lists the entities of a type, all if it is empty; a string: why they cannot be asked for. */
  entities(type: string): Promise<EntitiesView | string>;
  /** The last runs of a schedule. */
  schedule(contract: string, id: string): Promise<ScheduleRunsView>;
  /** The payload of a dead letter; `undefined`: there is none; a string: why it cannot be edited. */
  letter(place: string): Promise<LetterText | string | undefined>;
  /** Finds what has an id, a key or a correlation id; a string: why it cannot be looked for. */
  search(text: string): Promise<SearchView | string>;
  /** Carries out a change; `undefined`: changes are not allowed. */
  readonly change: ((request: ChangeRequest) => Promise<ChangeAnswer>) | undefined;
}

/** A server that listens. */
export class DashboardServer implements AsyncDisposable {
  /** What to open in a browser. */
  readonly address: string;
  readonly #http: Server;
  /** The browsers that look. */
  readonly streams: Streams;

  private constructor(http: Server, { host, streams }: ServerOptions, { token }: Access) {
    this.#http = http;
    this.streams = streams;
    const { port } = http.address() as AddressInfo; // it listens on a port
    const name = host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "[::1]" : host.includes(":") ? `[${host}]` : host;
    this.address = `http://${name}:${port}/?token=${token}`;
  }

  /** Begins to listen. Rejects with the error of the operating system if it cannot. */
  static async listen(options: ServerOptions): Promise<DashboardServer> {
    const access = new Access(options.host);
    const http = createServer((request, response) => {
      handle(request, response, access, options).catch((error: Error) => {
        if (!response.headersSent) refuse(response, 500, error.message);
        else response.destroy();
      });
    });
    await new Promise<void>((resolve, reject) => {
      http.once("error", reject);
      http.listen(options.port, options.host, resolve);
    });
    return new DashboardServer(http, options, access);
  }

  /** Ends all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.streams.close();
    const closed = new Promise<void>((resolve) => this.#http.close(() => resolve()));
    this.#http.closeAllConnections();
    await closed;
  }
}

async function handle(
  request: IncomingMessage,
  response: ServerResponse,
  access: Access,
  options: ServerOptions,
): Promise<void> {
  const { method = "GET", headers } = request;
  const about = { method, headers };
  const wrong = access.refusesOrigin(about);
  if (wrong !== undefined) return refuse(response, wrong.status, wrong.message);
  const { url: path = "" } = request;
  // joined, not resolved: of `//` the next would be a host; what is no path is nothing that is here
  const url = new URL(`http://dashboard${path.startsWith("/") ? path : "/-"}`);
  if (method === "GET" && url.pathname === "/") return enter(response, url, access);
  if (!url.pathname.startsWith(access.folder)) {
    // says the same of every path, so that nobody can look for the folder
    return refuse(response, NO_SESSION.status, NO_SESSION.message);
  }
  const stranger = access.refusesSession(about);
  if (stranger !== undefined) return refuse(response, stranger.status, stranger.message);
  const name = url.pathname.slice(access.folder.length) || "index.html";
  if (name === "change") return await change(request, response, options);
  if (method !== "GET") return refuse(response, 405, "only GET");
  const given = (parameter: string) => url.searchParams.get(parameter) ?? "";
  if (name === "entity") {
    return found(response, await options.entity(given("type"), given("id")), "nothing is stored of it");
  }
  if (name === "entities") return found(response, await options.entities(given("type")), "");
  if (name === "schedule") return answer(response, await options.schedule(given("contract"), given("id")));
  if (name === "runs") return answer(response, await options.runs(url.searchParams));
  if (name === "letter") {
    return found(response, await options.letter(given("place")), "it is no dead letter any more");
  }
  if (name === "search") return found(response, await options.search(given("text")), "nothing was found");
  if (name === "stream") return stream(response, options.streams);
  if (!Object.hasOwn(PAGE_FILES, name)) return refuse(response, 404, "there is no such file");
  const { type, text }: PageFile = PAGE_FILES[name];
  response.writeHead(200, { ...SECURITY_HEADERS, "content-type": type }).end(text);
}

/** Exchanges the token for the cookie, and leads to the page without it. */
function enter(response: ServerResponse, url: URL, access: Access): void {
  const token = url.searchParams.get("token");
  if (token === null || !access.isToken(token)) return refuse(response, NO_SESSION.status, NO_SESSION.message);
  response.writeHead(303, { ...SECURITY_HEADERS, "set-cookie": access.cookie, location: access.folder }).end();
}

function stream(response: ServerResponse, streams: Streams): void {
  response.on("close", () => streams.remove(response));
  response.on("error", () => streams.remove(response));
  response.writeHead(200, { ...SECURITY_HEADERS, "content-type": "text/event-stream; charset=utf-8" });
  if (!streams.add(response)) response.end("event: full\ndata: {}\n\n");
}

/** Answers with what was read; a string says why it cannot be read, `none` that there is nothing. */
function found(response: ServerResponse, read: object | string | undefined, none: string): void {
  if (read === undefined) return refuse(response, 404, none);
  if (typeof read === "string") return refuse(response, 400, read);
  answer(response, read);
}

async function change(request: IncomingMessage, response: ServerResponse, { change }: ServerOptions): Promise<void> {
  if (request.method !== "POST") return refuse(response, 405, "only POST");
  if (change === undefined) return refuse(response, 403, "read-only: start `catga dashboard` with --allow-changes");
  if (request.headers["content-type"] !== "application/json") return refuse(response, 415, "JSON only");
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) {
    body += chunk;
    if (body.length > MOST_IN_BODY) return refuse(response, 413, `at most ${MOST_IN_BODY} characters`);
  }
  const wanted = readChange(body);
  if (typeof wanted === "string") return refuse(response, 400, wanted);
  answer(response, await change(wanted));
}

function answer(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { ...SECURITY_HEADERS, "content-type": "application/json" }).end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, message: string): void {
  const headers = { ...SECURITY_HEADERS, "content-type": "text/plain; charset=utf-8" };
  response.writeHead(status, headers).end(`${message}\n`);
}

const NO_SESSION: Refusal = {
  status: 401,
  message: "open the address that `catga dashboard` printed: it lets this browser in",
};
const MOST_IN_BODY = 262_144;
