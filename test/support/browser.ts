/** A real browser without a screen, for tests of pages: Chromium, spoken to over its DevTools protocol. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { eventually } from "./eventually.ts";

/** What DevTools answers; each method has its own. */
type Answer = Readonly<Record<string, unknown>>;

/** A browser with one page. */
export class Browser implements AsyncDisposable {
  /** Errors of the page, and what its policy refused. */
  readonly complaints: string[] = [];
  readonly #child: ChildProcess;
  readonly #folder: string;
  readonly #waiting = new Map<number, (answer: { result?: Answer; error?: { message: string } }) => void>();
  #socket!: WebSocket; // set by `open`
  #session = "";
  #calls = 0;

  private constructor(child: ChildProcess, folder: string) {
    this.#child = child;
    this.#folder = folder;
  }

  /** Starts the program at `path` with an empty profile. */
  static async open(path: string): Promise<Browser> {
    const folder = await mkdtemp(join(tmpdir(), "catga-browser-"));
    const args = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--no-zygote"];
    const profile = [`--user-data-dir=${folder}`, "--remote-debugging-port=0", "--disable-dev-shm-usage"];
    const child = spawn(path, [...args, ...profile, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
    const onExit = () => child.kill("SIGKILL");
    process.once("exit", onExit);
    child.once("exit", () => process.off("exit", onExit));
    let said = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => said += text); // a pipe
    const browser = new Browser(child, folder);
    const address = await eventually("the browser", () => /DevTools listening on (ws:\S+)/.exec(said)?.[1]);
    await browser.#connect(address!);
    return browser;
  }

  /** Calls a method of DevTools for the page. */
  async call(method: string, params: Answer = {}): Promise<Answer> {
    const id = ++this.#calls;
    const { promise, resolve } = Promise.withResolvers<{ result?: Answer; error?: { message: string } }>();
    this.#waiting.set(id, resolve);
    this.#socket.send(JSON.stringify({ id, method, params, ...(this.#session && { sessionId: this.#session }) }));
    const { result, error } = await promise;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  }

  /** The value of an expression in the page. */
  async evaluate<T>(expression: string): Promise<T> {
    const params = { expression, returnByValue: true, awaitPromise: true, userGesture: true };
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", params);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  }

  /**
   * Resolves when an expression in the page is truthy, with its value. Pauses between two questions grow to 100 ms, as
   * `innerText` lays out the page each time.
   */
  until<T>(what: string, expression: string, limit?: number): Promise<T> {
    return eventually(what, () => this.evaluate<T>(expression), limit, 100);
  }

  goto(url: string): Promise<Answer> {
    return this.call("Page.navigate", { url });
  }

  /** Has a page of the dashboard lay out also what is far from the screen: without that, `innerText` has none of it. */
  async layOutAll(): Promise<void> {
    const rule = "main > section { content-visibility: visible !important }";
    await this.until("the style", `document.styleSheets[0]?.insertRule(${JSON.stringify(rule)}) === 0`);
  }

  /** The size of the window in CSS pixels, and which colors the user prefers. */
  async show(width: number, height: number, colors: "light" | "dark", motion = "no-preference"): Promise<void> {
    await this.call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    const features = [{ name: "prefers-color-scheme", value: colors }, {
      name: "prefers-reduced-motion",
      value: motion,
    }];
    await this.call("Emulation.setEmulatedMedia", { features });
  }

  /** A picture of the window, as WebP. */
  async picture(): Promise<Uint8Array> {
    const { data } = await this.call("Page.captureScreenshot", { format: "webp", quality: 80 });
    return Uint8Array.from(atob(data as string), (character) => character.charCodeAt(0));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.close();
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    if (this.#child.exitCode === null && this.#child.kill("SIGKILL")) await ended;
    // its own children end a little later, and write there until then; not every runtime has the option `maxRetries`
    await eventually("the end of its folder", async () => {
      try {
        await rm(this.#folder, { recursive: true, force: true });
        return true;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOTEMPTY") throw error;
        return false;
      }
    });
  }

  async #connect(address: string): Promise<void> {
    this.#socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      this.#socket.onopen = resolve;
      this.#socket.onerror = reject;
    });
    this.#socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.id !== undefined) {
        this.#waiting.get(message.id)?.(message);
        this.#waiting.delete(message.id);
      } else if (message.method === "Runtime.exceptionThrown") {
        this.complaints.push(JSON.stringify(message.params.exceptionDetails));
      } else if (message.method === "Log.entryAdded" && message.params.entry.source === "security") {
        this.complaints.push(message.params.entry.text);
      }
    };
    const { targetInfos } = await this.call("Target.getTargets");
    const page = (targetInfos as { type: string; targetId: string }[]).find(({ type }) => type === "page");
    const { sessionId } = await this.call("Target.attachToTarget", { targetId: page!.targetId, flatten: true });
    this.#session = sessionId as string; // one of text
    for (const domain of ["Page", "Runtime", "Log", "Performance"]) await this.call(`${domain}.enable`);
    // else :focus matches nothing until the machine has had time to focus the window
    await this.call("Emulation.setFocusEmulationEnabled", { enabled: true });
  }
}
