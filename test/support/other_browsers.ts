/** Firefox and WebKit without a screen, for tests of what is to work in each browser. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, globSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import type { Readable } from "node:stream";
import type { PageBrowser } from "./client_page.ts";
import { freePorts } from "../../tools/nats_server.ts";
import { eventually } from "./eventually.ts";

/** The path of a program, by its names on the PATH and patterns of paths. */
function find(names: readonly string[], patterns: readonly string[] = []): string | undefined {
  const paths = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)));
  return [...paths, ...patterns.flatMap((pattern) => globSync(pattern))].find((path) => existsSync(path));
}

const FIREFOX = find(["firefox-esr", "firefox"]);
const DRIVER = find(["WebKitWebDriver"]);
const MINI_BROWSER = find(["MiniBrowser"], [
  "/usr/lib/*/webkit2gtk-4.1/MiniBrowser",
  "/usr/libexec/webkit2gtk-4.1/MiniBrowser",
]);
const SCREEN = find(["Xvfb"]);

/** Each browser: how it starts, or why it does not. */
export const OTHER_BROWSERS: Readonly<
  Record<string, { readonly open: () => Promise<PageBrowser>; readonly skip: string | false }>
> = {
  Firefox: {
    open: () => Firefox.open(FIREFOX!),
    skip: FIREFOX === undefined && "no firefox on the PATH (Debian: firefox-esr)",
  },
  WebKit: {
    open: () => WebKit.open(DRIVER!, MINI_BROWSER!, SCREEN!),
    skip: (DRIVER === undefined || MINI_BROWSER === undefined || SCREEN === undefined) &&
      "no WebKitWebDriver, MiniBrowser or Xvfb (Debian: webkit2gtk-driver, xvfb)",
  },
};

/** Evaluates a text in the global scope of the page; a text is what every protocol can carry back. */
const EVALUATE = `async (text) => {
  try {
    return JSON.stringify({ value: await (0, eval)(text) });
  } catch (error) {
    return JSON.stringify({ error: String(error) });
  }
}`;

function valueOf<T>(answer: unknown, expression: string): T {
  const { value, error } = JSON.parse(String(answer)) as { value?: T; error?: string };
  if (error !== undefined) throw new Error(`${expression}: ${error}`);
  return value as T; // what the page gave
}

/** Programs that end with the test, and a folder for them. */
class Programs implements AsyncDisposable {
  readonly #children: ChildProcess[] = [];

  private constructor(readonly folder: string) {}

  static async make(): Promise<Programs> {
    return new Programs(await mkdtemp(join(tmpdir(), "catga-browser-")));
  }

  /** Starts a program. Returns what it writes to the stream of this number. */
  start(path: string, args: readonly string[], stream: 2 | 3, env: NodeJS.ProcessEnv = {}): () => string {
    const stdio = Array.from({ length: 4 }, (_, n) => n === stream ? "pipe" as const : "ignore" as const);
    const child = spawn(path, [...args], { env: { ...process.env, HOME: this.folder, ...env }, stdio, detached: true });
    this.#children.push(child);
    const onExit = () => kill(child);
    process.once("exit", onExit);
    child.once("exit", () => process.off("exit", onExit));
    let said = "";
    (child.stdio[stream] as Readable).setEncoding("utf8").on("data", (text: string) => said += text); // a pipe
    return () => said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.toReversed()) {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null && child.signalCode === null && kill(child)) await ended;
    }
    await eventually(
      "the end of their folder",
      () => rm(this.folder, { recursive: true, force: true }).then(() => true, () => false),
    );
  }
}

/** Ends a program with its own children: false if it has ended. */
function kill({ pid }: ChildProcess): boolean {
  try {
    return pid !== undefined && process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** Firefox, spoken to over WebDriver BiDi, which it has itself. */
class Firefox implements PageBrowser {
  readonly #waiting = new Map<number, (answer: { result?: unknown; message?: string }) => void>();
  #calls = 0;
  #context = "";

  private constructor(readonly programs: Programs, readonly socket: WebSocket) {}

  static async open(path: string): Promise<Firefox> {
    const programs = await Programs.make();
    const args = ["--headless", "--no-remote", "--profile", programs.folder, "--remote-debugging-port", "0"];
    const said = programs.start(path, args, 2);
    const address = await eventually("Firefox", () => /WebDriver BiDi listening on (ws:\S+)/.exec(said())?.[1]);
    const socket = new WebSocket(`${address}/session`);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    const browser = new Firefox(programs, socket);
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      browser.#waiting.get(message.id)?.(message);
      browser.#waiting.delete(message.id);
    };
    await browser.#call("session.new", { capabilities: {} });
    const { contexts } = await browser.#call("browsingContext.getTree", {}) as { contexts: { context: string }[] };
    browser.#context = contexts[0].context;
    return browser;
  }

  goto(url: string): Promise<unknown> {
    return this.#call("browsingContext.navigate", { context: this.#context, url, wait: "interactive" });
  }

  async evaluate<T>(expression: string): Promise<T> {
    const { result } = await this.#call("script.callFunction", {
      functionDeclaration: EVALUATE,
      arguments: [{ type: "string", value: expression }],
      target: { context: this.#context },
      awaitPromise: true,
      userActivation: true,
    }) as { result: { value: string } };
    return valueOf<T>(result.value, expression);
  }

  until<T>(what: string, expression: string): Promise<T> {
    return eventually(what, () => this.evaluate<T>(expression), undefined, 100);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.close();
    await this.programs[Symbol.asyncDispose]();
  }

  async #call(method: string, params: object): Promise<unknown> {
    const id = ++this.#calls;
    const { promise, resolve } = Promise.withResolvers<{ result?: unknown; message?: string }>();
    this.#waiting.set(id, resolve);
    this.socket.send(JSON.stringify({ id, method, params }));
    const { result, message } = await promise;
    if (message !== undefined) throw new Error(`${method}: ${message}`);
    return result;
  }
}

/** WebKitGTK's MiniBrowser on a screen in memory, spoken to over WebDriver. */
class WebKit implements PageBrowser {
  private constructor(readonly programs: Programs, readonly session: string) {}

  static async open(driver: string, miniBrowser: string, screen: string): Promise<WebKit> {
    const programs = await Programs.make();
    const said = programs.start(screen, ["-displayfd", "3", "-nolisten", "tcp"], 3);
    const display = await eventually("the screen", () => /(\d+)\n/.exec(said())?.[1]);
    const env = { DISPLAY: `:${display}`, LIBGL_ALWAYS_SOFTWARE: "1", WEBKIT_DISABLE_COMPOSITING_MODE: "1" };
    const [port] = await freePorts(1);
    programs.start(driver, [`--port=${port}`, "--host=127.0.0.1"], 2, env);
    const url = `http://127.0.0.1:${port}/session`;
    await eventually(
      "the driver",
      () => post(url.replace("session", "status"), undefined).then(() => true, () => false),
    );
    const options = { "webkitgtk:browserOptions": { binary: miniBrowser, args: ["--automation"] } };
    const { sessionId } = await post(url, { capabilities: { alwaysMatch: options } }) as { sessionId: string };
    await post(`${url}/${sessionId}/timeouts`, { script: 120_000 });
    return new WebKit(programs, `${url}/${sessionId}`);
  }

  goto(url: string): Promise<unknown> {
    return post(`${this.session}/url`, { url });
  }

  async evaluate<T>(expression: string): Promise<T> {
    const script = `const [text, done] = arguments; (${EVALUATE})(text).then(done);`;
    return valueOf<T>(await post(`${this.session}/execute/async`, { script, args: [expression] }), expression);
  }

  until<T>(what: string, expression: string): Promise<T> {
    return eventually(what, () => this.evaluate<T>(expression), undefined, 100);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.programs[Symbol.asyncDispose]();
  }
}

/** Asks the driver: without a body, by GET. */
async function post(url: string, body: object | undefined): Promise<unknown> {
  const response = await fetch(url, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${url}: ${value.error}: ${value.message}`);
  return value;
}
