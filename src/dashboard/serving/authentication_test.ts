import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { Access } from "./authentication.ts";

const refused = (access: Access, headers: Record<string, string>, method = "GET") =>
  access.refusesOrigin({ method, headers })?.status;

describe("Access", () => {
  it("an address, localhost and the operator's own name are hosts of the page; other names are not", () => {
    const access = new Access("Box.internal");
    for (
      const host of ["127.0.0.1:4280", "[::1]:4280", "192.168.1.7", "localhost:1", "box.internal:4280", "BOX.internal"]
    ) {
      assertEquals([host, refused(access, { host })], [host, undefined]);
    }
    for (
      const host of ["evil.example", "127.0.0.1.evil.example:4280", "localhost.evil", "a@127.0.0.1", "[::1", "127.1:x"]
    ) {
      assertEquals([host, refused(access, { host })], [host, 421]);
    }
    assertEquals(refused(access, {}), 421);
  });

  it("an origin is that of the host, and a change has one", () => {
    const access = new Access("127.0.0.1");
    const host = "127.0.0.1:4280";
    assertEquals(refused(access, { host, origin: `http://${host}` }, "POST"), undefined);
    for (const origin of ["null", "https://127.0.0.1:4280", "http://127.0.0.1:4281", `http://${host}.evil`, ""]) {
      assertEquals([origin, refused(access, { host, origin }, "POST")], [origin, 403]);
    }
    assertEquals(refused(access, { host }, "POST"), 403);
    assertEquals([refused(access, { host }), refused(access, { host }, "HEAD")], [undefined, undefined]);
    assertEquals(
      refused(access, { host, origin: `http://${host}`, "sec-fetch-site": "same-origin" }, "POST"),
      undefined,
    );
    // a link of another site may be opened
    assertEquals(refused(access, { host, "sec-fetch-site": "cross-site" }), undefined);
    assertEquals(refused(access, { host, origin: `http://${host}`, "sec-fetch-site": "same-site" }, "POST"), 403);
  });

  it("behind a proxy an origin is that which the proxy names (each change over TLS was 403)", () => {
    const access = new Access("127.0.0.1");
    const own = { host: "127.0.0.1:4280", "x-forwarded-proto": "https" };
    const named = { ...own, "x-forwarded-host": "box.example" };
    const post = (headers: Record<string, string>, origin: string) => refused(access, { ...headers, origin }, "POST");
    assertEquals(post(own, "https://127.0.0.1:4280"), undefined);
    assertEquals(post(named, "https://box.example"), undefined);
    assertEquals(post({ ...named, "x-forwarded-proto": "https, http" }, "https://box.example"), undefined);
    for (const origin of ["http://127.0.0.1:4280", "https://box.example", "https://evil.example", "null"]) {
      assertEquals([origin, post(own, origin)], [origin, 403]);
    }
    for (const origin of ["https://127.0.0.1:4280", "http://box.example", "https://box.example.evil"]) {
      assertEquals([origin, post(named, origin)], [origin, 403]);
    }
    // the host is still checked: the DNS of an attacker may lead the name evil.example to this machine
    assertEquals(post({ ...named, host: "evil.example" }, "https://box.example"), 421);
  });

  it("secrets are of one run, and only the whole of them counts", () => {
    const [a, b] = [new Access("x"), new Access("x")];
    assertEquals([a.isToken(a.token), a.isToken(b.token), a.isToken(""), a.isToken(a.token.slice(1))], [
      true,
      false,
      false,
      false,
    ]);
    const [cookie] = a.cookie.split(";");
    const session = (access: Access, text: string) =>
      access.refusesSession({ method: "GET", headers: { cookie: text } })?.status;
    assertEquals([session(a, cookie), session(a, `x=1; ${cookie}; y=2`), session(b, cookie), session(a, "")], [
      undefined,
      undefined,
      401,
      401,
    ]);
    assertEquals(cookie.includes(a.token), false);
    // a page of another site, or of another port of this machine, gets nothing with the cookie of the browser
    const from = (site: string) =>
      a.refusesSession({ method: "GET", headers: { cookie, "sec-fetch-site": site } })?.status;
    assertEquals(["same-origin", "none", "same-site", "cross-site"].map(from), [undefined, undefined, 401, 401]);
    assertEquals(a.refusesSession({ method: "GET", headers: {} })?.status, 401);
  });
});
