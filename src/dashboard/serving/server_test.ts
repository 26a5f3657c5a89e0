/** Tests, over a socket, of who gets into the dashboard and what a request may do. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { after, before, describe, it } from "node:test";
import { type IncomingHttpHeaders, request } from "node:http";
import { DashboardServer, type Read } from "./server.ts";
import { Streams } from "./streams.ts";
import type { ChangeRequest } from "../view.ts";
import { eventually } from "../../../test/support/eventually.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

/** Sends a request exactly as given; `fetch` would correct the path. */
function ask(port: number, path: string, { method = "GET", headers = {}, body }: Asked = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk: string) => text += chunk);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

describe("the server of the dashboard", () => {
  let server: DashboardServer;
  let readOnly: DashboardServer;
  let looked = 0;
  const changes: ChangeRequest[] = [];
  const reads: Record<string, Read> = {
    letter: (given) => {
      const letter = given("place") === "a.b" ? { payload: "{}", tagged: false } : undefined;
      return Promise.resolve(given("place") === "long" ? "it is long" : letter);
    },
    search: (given) =>
      Promise.resolve(given("text") === "" ? "nothing to look for" : { hits: [], searched: [given("text")] }),
    entity: (given) => Promise.resolve(given("type") === "Cart" ? undefined : `not ${given("type")} ${given("id")}`),
    entities: (given) =>
      Promise.resolve(given("type") === "*" ? "no such type" : { shown: [], searched: `all of ${given("type")}` }),
    schedule: (given) => Promise.resolve([`${given("contract")} ${given("id")}`]),
  };
  const streams = () =>
    new Streams({
      hello: () => ({ namespace: "n", address: "a", version: "v", allowChanges: true, now: 1 }),
      history: () => ({}),
      onLook: () => looked++,
      onLeave: () => looked--,
    });

  before(async () => {
    const change = (wanted: ChangeRequest) => {
      changes.push(wanted);
      return Promise.resolve({ done: 1, failed: 0, error: undefined });
    };
    server = await DashboardServer.listen({
      host: "127.0.0.1",
      port: 0,
      streams: streams(),
      change,
      reads,
    });
    readOnly = await DashboardServer.listen({
      host: "127.0.0.1",
      port: 0,
      streams: streams(),
      change: undefined,
      reads,
    });
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    await readOnly?.[Symbol.asyncDispose]();
  });

  /** Signs in as a browser does, and returns the page's address and the cookie. */
  async function enter(of = server): Promise<{ port: number; folder: string; cookie: string; origin: string }> {
    const { port, search } = new URL(of.address);
    const { status, headers } = await ask(Number(port), `/${search}`);
    assertEquals(status, 303);
    const [cookie] = headers["set-cookie"]![0].split(";");
    return { port: Number(port), folder: headers.location!, cookie, origin: `http://127.0.0.1:${port}` };
  }
  const CHANGE = JSON.stringify({ do: "replay", letters: ["a.b/0.1"] });
  const json = { "content-type": "application/json" };

  it("exchanges the token for a cookie that no script reads and no other site sends, and leads to an address without it", async () => {
    const { port, search } = new URL(server.address);
    const { headers } = await ask(Number(port), `/${search}`);
    assertMatch(
      headers["set-cookie"]![0],
      /^catga_dashboard=[\w-]{32}; Path=\/[\w-]{12}\/; HttpOnly; SameSite=Strict$/,
    );
    assertMatch(headers.location!, /^\/[\w-]{12}\/$/);
    assertEquals(headers["referrer-policy"], "no-referrer");
  });

  it("refuses whoever has neither token nor cookie, whatever is asked for", async () => {
    const { port, folder, cookie } = await enter();
    const wrong = [`${cookie.slice(0, -1)}${cookie.endsWith("A") ? "B" : "A"}`, "catga_dashboard=", "other=1"];
    for (
      const path of [
        "/",
        "/?token=",
        `/?token=${"x".repeat(32)}`,
        folder,
        `${folder}stream`,
        "/stream",
        "/app.js",
        "//",
        "//[",
        "http://[",
        "*",
      ]
    ) {
      for (const headers of [{}, ...wrong.map((text) => ({ cookie: text }))]) {
        const { status, text } = await ask(port, path, { headers });
        // Bun itself answers a request for `*`, with 400
        const refused = path === "*" && status === 400 ? 401 : status;
        assertEquals([path, refused, text.includes("<")], [path, 401, false]);
      }
    }
  });

  it("serves the page with a policy that runs nothing but its own files, and keeps nothing in a cache", async () => {
    const { port, folder, cookie } = await enter();
    for (const name of ["", "app.js", "page.css", "icon.svg"]) {
      const { status, headers, text } = await ask(port, folder + name, { headers: { cookie } });
      assertEquals([name, status, headers["cache-control"]], [name, 200, "no-store"]);
      assertEquals(headers["x-content-type-options"], "nosniff");
      assertMatch(
        headers["content-security-policy"] as string,
        /^default-src 'none'; script-src 'self'; style-src 'self';/,
      );
      assertStringIncludes(headers["content-security-policy"] as string, "frame-ancestors 'none'");
      assert(text.length > 100);
    }
    assertEquals((await ask(port, `${folder}../server.ts`, { headers: { cookie } })).status, 401);
    assertEquals((await ask(port, `${folder}constructor`, { headers: { cookie } })).status, 404);
  });

  it("is not reached under a name that somebody else's DNS gave it", async () => {
    const { port, folder, cookie } = await enter();
    for (
      const host of ["evil.example", `evil.example:${port}`, "127.0.0.1.evil.example", "localhost.evil.example"]
    ) {
      const { status } = await ask(port, folder, { headers: { cookie, host } });
      assert([400, 421].includes(status), `${host}: ${status}`);
    }
    for (const host of [`localhost:${port}`, `[::1]:${port}`, `127.0.0.1:${port}`]) {
      assertEquals((await ask(port, folder, { headers: { cookie, host } })).status, 200);
    }
  });

  it("tells a page of another origin nothing", async () => {
    const { port, folder, cookie } = await enter();
    for (const origin of ["https://evil.example", "null", `http://localhost:${port}`, `http://127.0.0.1:${port + 1}`]) {
      assertEquals((await ask(port, `${folder}stream`, { headers: { cookie, origin } })).status, 403);
    }
    for (const site of ["cross-site", "same-site"]) {
      const headers = { cookie, "sec-fetch-site": site };
      assertEquals((await ask(port, `${folder}stream`, { headers })).status, 401);
    }
  });

  it("changes something only with the cookie, from its own origin, by POST of JSON", async () => {
    const { port, folder, cookie, origin } = await enter();
    const path = `${folder}change`;
    const post = { method: "POST", body: CHANGE };
    const refused: [Asked, number][] = [
      [{ ...post, headers: { ...json, origin } }, 401],
      [{ ...post, headers: { ...json, cookie } }, 403],
      [{ ...post, headers: { ...json, cookie, origin: "https://evil.example" } }, 403],
      [{ ...post, headers: { ...json, cookie, origin, "sec-fetch-site": "cross-site" } }, 403],
      [{ ...post, headers: { "content-type": "text/plain", cookie, origin } }, 415],
      [{ headers: { cookie } }, 405],
      [{ method: "PUT", headers: { ...json, cookie, origin }, body: CHANGE }, 405],
      [{ ...post, headers: { ...json, cookie, origin }, body: "{" }, 400],
      [{ ...post, headers: { ...json, cookie, origin }, body: JSON.stringify({ do: "drop", matching: {} }) }, 400],
    ];
    for (const [asked, wanted] of refused) {
      const { status } = await ask(port, path, asked);
      assertEquals([asked, status], [asked, wanted]);
    }
    assertEquals(changes, []);
    const { status, text } = await ask(port, path, { ...post, headers: { ...json, cookie, origin } });
    assertEquals([status, JSON.parse(text)], [200, { done: 1, failed: 0 }]);
    assertEquals(changes.splice(0), [JSON.parse(CHANGE)]);
  });

  it("accepts an edit of the longest payload that the page shows (one with many quotes was too long)", async () => {
    const payload = JSON.stringify(Array(28_000).fill("a"), null, 2); // nearly 200,000 characters
    const edit = { do: "edit", letter: "a.b/0.1", payload, tagged: false } as const;
    const { port, folder, cookie, origin } = await enter();
    const headers = { ...json, cookie, origin };
    const { status } = await ask(port, `${folder}change`, { method: "POST", headers, body: JSON.stringify(edit) });
    assertEquals(status, 200);
    assertEquals(changes.splice(0), [edit]);
    const body = `"${"x".repeat(600_000)}"`;
    assertEquals((await ask(port, `${folder}change`, { method: "POST", headers, body })).status, 413);
  });

  it("changes nothing unless that was allowed", async () => {
    const { port, folder, cookie, origin } = await enter(readOnly);
    const headers = { ...json, cookie, origin };
    const { status, text } = await ask(port, `${folder}change`, { method: "POST", headers, body: CHANGE });
    assertEquals(status, 403);
    assertStringIncludes(text, "--allow-changes");
    assertEquals(changes, []);
  });

  it("answers which entities there are, and what a schedule did last", async () => {
    const { port, folder, cookie } = await enter();
    const read = async (query: string) => {
      const { status, text } = await ask(port, `${folder}${query}`, { headers: { cookie } });
      return [status, text];
    };
    assertEquals(await read("entities?type=Cart"), [200, `{"shown":[],"searched":"all of Cart"}`]);
    assertEquals(await read("entities?type=*"), [400, "no such type\n"]);
    assertEquals(await read("schedule?contract=a.B&id=%00"), [200, `["a.B \\u0000"]`]);
    for (const query of ["entities", "schedule"]) {
      assertEquals((await ask(port, `${folder}${query}`)).status, 401);
    }
  });

  it("says that an entity is not there, or cannot be asked for", async () => {
    const { port, folder, cookie } = await enter();
    const asked = async (query: string) => {
      const { status, text, headers } = await ask(port, `${folder}entity${query}`, { headers: { cookie } });
      assertEquals(headers["content-type"], "text/plain; charset=utf-8");
      return [status, text];
    };
    assertEquals(await asked("?type=Cart&id=1"), [404, "nothing is stored of it\n"]);
    assertEquals(await asked("?type=%3Cb%3E&id=2"), [400, "not <b> 2\n"]);
    assertEquals((await ask(port, `${folder}entity?type=Cart&id=1`)).status, 401);
  });

  it("has the payload of a dead letter, or why not, for who has a session", async () => {
    const { port, cookie, folder } = await enter();
    const letter = async (place: string, headers = {}) => {
      const { status, text } = await ask(port, `${folder}letter?place=${place}`, { headers });
      return `${status} ${text}`.trim();
    };
    assertEquals(await letter("a.b", { cookie }), '200 {"payload":"{}","tagged":false}');
    assertEquals(await letter("long", { cookie }), "400 it is long");
    assertEquals(await letter("none", { cookie }), "404 it is no dead letter any more");
    assertMatch(await letter("a.b"), /^401/);
  });

  it("searches for who has a session", async () => {
    const { port, cookie, folder } = await enter();
    const found = (path: string, headers = {}) => ask(port, `${folder}${path}`, { headers });
    assertEquals((await found("search?text=o%207", { cookie })).text, '{"hits":[],"searched":["o 7"]}');
    assertEquals((await found("search", { cookie })).status, 400);
    assertEquals((await found("search?text=1")).status, 401);
  });

  it("streams what is sent as JSON on one line, also to a browser that comes later, and notices that it has left", async () => {
    const { port, folder, cookie } = await enter();
    const hostile = '<img src=x onerror=alert(1)>\n\nevent: hello\ndata: {"forged":1}\u2028\x1b[2J';
    const open = (then: (text: string) => boolean) =>
      new Promise<void>((resolve, reject) => {
        const sent = request({ port, host: "127.0.0.1", path: `${folder}stream`, headers: { cookie }, agent: false });
        let text = "";
        sent.on("response", (response) => {
          // regression: without this header nginx passed nothing on
          assertEquals(response.headers["x-accel-buffering"], "no");
          response.setEncoding("utf8").on("data", (chunk: string) => {
            text += chunk;
            if (then(text)) resolve(void sent.destroy());
          });
        });
        sent.on("error", reject).end();
      });
    const own = server.streams;
    let sent = false;
    await open((text) => {
      if (text.includes("event: hello") && !sent) {
        sent = true;
        own.send("problems", [{ part: "x", message: hostile }]);
      }
      const lines = text.split("\n").filter((line) => line.startsWith("data: [{"));
      if (lines.length === 0) return false;
      assertEquals(JSON.parse(lines[0].slice(6)), [{ part: "x", message: hostile }]);
      assertEquals(text.split("\n").filter((line) => line === "event: hello").length, 1);
      return true;
    });
    await eventually("the server to notice", () => looked === 0);
    assertEquals(own.size, 0);
  });
});
