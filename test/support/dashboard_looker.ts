/** A browser of the dashboard without a screen: it gets what the page is sent. */
import { type ClientRequest, request } from "node:http";
import type { EntityView, SearchView, Topic, Topics } from "../../src/dashboard/view.ts";

/** A browser without a screen. */
export class DashboardLooker {
  readonly topics: { -readonly [T in Topic]?: Topics[T] } = {};
  #request: ClientRequest | undefined;
  #page = "";
  #cookie = "";

  /** Lets itself in, and looks until it is closed. */
  static async open(address: string): Promise<DashboardLooker> {
    const looker = new DashboardLooker();
    const entered = await fetch(address, { redirect: "manual" });
    await entered.body?.cancel();
    looker.#page = new URL(entered.headers.get("location")!, address).href;
    looker.#cookie = entered.headers.get("set-cookie")!.split(";")[0];
    const headers = { cookie: looker.#cookie };
    // Deno's fetch closes its connection some seconds after it was aborted
    looker.#request = request(`${looker.#page}stream`, { headers, agent: false }, (response) => {
      void looker.#read(response.setEncoding("utf8")).catch(() => {}); // closed
    });
    looker.#request.on("error", () => {}).end(); // closed
    return looker;
  }

  async entity(type: string, id: string): Promise<EntityView> {
    const query = new URLSearchParams({ type, id });
    return await (await fetch(`${this.#page}entity?${query}`, { headers: { cookie: this.#cookie } })).json();
  }

  async search(text: string): Promise<SearchView> {
    const query = new URLSearchParams({ text });
    return await (await fetch(`${this.#page}search?${query}`, { headers: { cookie: this.#cookie } })).json();
  }

  async change(body: unknown): Promise<unknown> {
    const headers = { cookie: this.#cookie, origin: new URL(this.#page).origin, "content-type": "application/json" };
    const answer = await fetch(`${this.#page}change`, { method: "POST", headers, body: JSON.stringify(body) });
    return await answer.json();
  }

  close(): void {
    this.#request?.destroy();
  }

  async #read(body: AsyncIterable<string>): Promise<void> {
    let text = "";
    for await (const chunk of body) {
      text += chunk;
      const messages = text.split("\n\n");
      text = messages.pop()!;
      for (const message of messages) {
        const [, topic, data] = /^event: (\w+)\ndata: (.*)$/.exec(message) ?? [];
        if (topic !== undefined && topic !== "beat") this.topics[topic as Topic] = JSON.parse(data);
      }
    }
  }
}
