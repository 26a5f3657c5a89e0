/**
 * Tests of every way to sign in that docs/security.md names, on real servers: passwords, tokens, nkeys, creds files,
 * TLS.
 */
import {
  type Authenticator,
  credsAuthenticator,
  nkeyAuthenticator,
  nkeys,
  usernamePasswordAuthenticator,
} from "@nats-io/nats-core";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Buffer } from "node:buffer";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { catga, CatgaError, type CatgaOptions, command, query, unwrap } from "../../mod.ts";
import { type NatsServer, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PATIENT } from "../../test/support/patient.ts";

const Whoami = query<void, string>("Whoami");
const Once = command<void, string>("Once", { idempotent: true });

const folder = new URL("../../test/certificates/", import.meta.url);
const path = (name: string) => fileURLToPath(new URL(name, folder));
const pem = (name: string) => readFile(path(name), "utf8");
const TLS = `cert_file: "${path("server.pem")}", key_file: "${path("server-key.pem")}"`;

/**
 * Asserts that two nodes connect with the options `nats` and work together, and that the server refuses each of the
 * options `refused`.
 */
async function works(
  server: NatsServer,
  nats: () => NonNullable<CatgaOptions["nats"]>,
  refused: CatgaOptions["nats"][],
) {
  const handlers = [Whoami.handle((_, ctx) => ctx.node), Once.handle((_, ctx) => ctx.node)];
  await using a = await catga({ nats: nats(), id: "a" });
  await using _b = await catga({ nats: nats(), id: "b", handlers });
  assertEquals(unwrap(await a.send(Whoami, undefined, PATIENT)), "b");
  assertEquals(unwrap(await a.send(Once, undefined, { ...PATIENT, id: "1" })), "b");
  await using lock = await a.lock("k");
  assertEquals(lock.token > 0, true);
  for (const bad of refused) {
    const error = await assertRejects(() => catga({ nats: bad! }), CatgaError);
    assertEquals(error.code, "UNAVAILABLE");
    assertMatch(error.message, new RegExp(`127\\.0\\.0\\.1:${server.port}`));
  }
}

describe("credentials", await requireNatsServer(), () => {
  it("user and password, as options and in the address", async () => {
    const config = 'authorization { users: [{ user: "a b", password: "p@ss/word" }] }';
    await using server = await startNatsServer({ config });
    const servers = server.url;
    const refused = [servers, { servers, user: "a b", pass: "x" }];
    await works(server, () => ({ servers, user: "a b", pass: "p@ss/word" }), refused);
    await works(server, () => servers.replace("//", "//a%20b:p%40ss%2Fword@"), []);
  });

  it("that were rotated: a line says that NATS refuses them, until the authenticator has the new ones", async () => {
    const config = (pass: string) => `authorization { users: [{ user: u, password: ${pass} }] }`;
    let secret = "one";
    let server = await startNatsServer({ config: config(secret) });
    const lines: string[] = [];
    const line = (text: string) => void lines.push(text);
    await using app = await catga({
      nats: { servers: server.url, authenticator: usernamePasswordAuthenticator("u", () => secret) },
      logger: { debug() {}, info() {}, warn: line, error: line },
      id: "a",
    });
    await server.stop();
    server = await startNatsServer({ port: server.port, config: config("two") });
    const refused = () =>
      lines.filter((text) => /waiting for NATS at .*: it refuses the credentials \(/.test(text)).length;
    await eventually("a line", () => refused() > 0);
    secret = "two";
    await eventually("its return", () => app.health().ready);
    assertEquals([refused(), lines.filter((text) => /taking a message failed/.test(text))], [1, []]);
    await server.stop();
  });

  it("a token, as an option and in the address", async () => {
    await using server = await startNatsServer({ config: 'authorization { token: "t0ken" }' });
    await works(server, () => ({ servers: server.url, token: "t0ken" }), [{ servers: server.url, token: "other" }]);
    await works(server, () => server.url.replace("//", "//t0ken@"), []);
  });

  it("an nkey", async () => {
    const user = nkeys.createUser();
    const config = `authorization { users: [{ nkey: ${user.getPublicKey()} }] }`;
    await using server = await startNatsServer({ config });
    const by = (seed: Uint8Array) => ({ servers: server.url, authenticator: nkeyAuthenticator(seed) });
    await works(server, () => by(user.getSeed()), [by(nkeys.createUser().getSeed()), server.url]);
  });

  it("creds: a user's JWT, signed by an account, signed by an operator", async () => {
    const [operator, account, system] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createAccount()];
    const accounts = [[account, "APP", LIMITS], [system, "SYS", {}]] as const;
    const tokens = accounts.map(([key, name, storage]) => {
      const limits = { ...UNLIMITED, ...storage };
      return [key.getPublicKey(), jwt(operator, key, name, "account", { limits })];
    });
    const config = `
      operator: ${jwt(operator, operator, "O", "operator", {})}
      system_account: ${system.getPublicKey()}
      resolver: MEMORY
      resolver_preload: { ${tokens.map(([key, token]) => `${key}: "${token}"`).join("\n")} }`;
    await using server = await startNatsServer({ config });
    const by = (signer: Key) => {
      const user = nkeys.createUser();
      const text = creds(jwt(signer, user, "u", "user", { subs: -1, data: -1, payload: -1 }), user);
      return { servers: server.url, authenticator: credsAuthenticator(new TextEncoder().encode(text)) };
    };
    await works(server, () => by(account), [by(nkeys.createAccount()), server.url]);
  });

  it("TLS: a server certificate of the given CA", async () => {
    await using server = await startNatsServer({ config: `tls { ${TLS} }` });
    const ca = await pem("ca.pem");
    const servers = server.url;
    // without the CA the client refuses the server's certificate
    await works(server, () => ({ servers, tls: { ca } }), [{ servers, tls: {} }]);
    await works(server, () => ({ servers: servers.replace("nats:", "tls:"), tls: { ca } }), []);
  });

  it("that an authenticator cannot give: the error says so; an asynchronous one, or none, is a TypeError", async () => {
    await using server = await startNatsServer({ jetstream: false });
    const start = (authenticator: unknown) => () =>
      catga({ nats: { servers: server.url, authenticator: authenticator as Authenticator } });
    const threw = await assertRejects(start(credsAuthenticator(new TextEncoder().encode("no creds"))), CatgaError);
    assertEquals(threw.message, "the authenticator in `nats` threw: unable to parse credentials");
    assertEquals([threw.code, threw.retryable], ["UNAVAILABLE", false]);
    for (const authenticator of ["x", () => Promise.resolve({ user: "u", pass: "p" })]) {
      await assertRejects(start(authenticator), TypeError, "nats.authenticator must ");
    }
  });

  it("TLS: a certificate for another address is refused, with the TLS handshake first and after the INFO", async () => {
    const ca = await pem("ca.pem");
    for (const handshakeFirst of [false, true]) {
      await using server = await startNatsServer({
        config: `tls { ${TLS}, handshake_first: ${handshakeFirst} }`,
        silent: handshakeFirst,
      });
      // 0.0.0.0 leads to this machine, but is not in the server's certificate
      const nats = { servers: `0.0.0.0:${server.port}`, tls: { ca, handshakeFirst } };
      for (const transport of TRANSPORTS) {
        const { code, message } = await assertRejects(() => catga({ nats, transport }), CatgaError);
        assertEquals(code, "UNAVAILABLE");
        assertMatch(message, /^no TLS with NATS at 0\.0\.0\.0:\d+: .*certificate/);
      }
    }
  });

  it("TLS: a CA from a file, with the TLS handshake first and after the INFO", async () => {
    const caFile = path("ca.pem");
    for (const handshakeFirst of [false, true]) {
      await using server = await startNatsServer({
        // not "auto": the server would then send INFO if no handshake began within 50 ms, as on a busy machine
        config: `tls { ${TLS}, handshake_first: ${handshakeFirst} }`,
        silent: handshakeFirst,
      });
      const servers = server.url;
      const refused = [{ servers, tls: { handshakeFirst }, timeout: 500 }];
      await works(server, () => ({ servers, tls: { caFile, handshakeFirst } }), refused);
      // the certificate of the server contains the name localhost as well
      await using app = await catga({ nats: { servers: `localhost:${server.port}`, tls: { caFile, handshakeFirst } } });
      assertEquals(app.health().ready, true);
    }
  });

  it("TLS: a client certificate with the handshake first, over either transport", async () => {
    const users = '{ user: "orders-1@catga.test", permissions: { publish: ">", subscribe: ">" } }';
    const config = `tls { ${TLS}, ca_file: "${path("ca.pem")}", verify_and_map: true, handshake_first: true }
      authorization { users: [${users}] }`;
    await using server = await startNatsServer({ config, silent: true });
    const files = { caFile: path("ca.pem"), certFile: path("client.pem"), keyFile: path("client-key.pem") };
    for (const transport of TRANSPORTS) {
      const nats = { servers: server.url, tls: { ...files, handshakeFirst: true } };
      await using app = await catga({ nats, transport, handlers: Whoami.handle((_, ctx) => ctx.node) });
      assertEquals((await app.send(Whoami)).ok, true);
    }
  });

  it("TLS: the client certificate identifies the user", async () => {
    const users = '{ user: "orders-1@catga.test", permissions: { publish: ">", subscribe: ">" } }';
    const config = `tls { ${TLS}, ca_file: "${path("ca.pem")}", verify_and_map: true }
      authorization { users: [${users}] }`;
    await using server = await startNatsServer({ config });
    const [ca, cert, key] = await Promise.all(["ca.pem", "client.pem", "client-key.pem"].map(pem));
    const servers = server.url;
    // Deno 2.9.6 throws the server's TLS alert from its reader of the socket, where no listener gets the error
    const isAlert = (event: ErrorEvent) => event.message.includes("CertificateRequired") && event.preventDefault();
    globalThis.addEventListener("error", isAlert);
    try {
      await works(server, () => ({ servers, tls: { ca, cert, key } }), [{ servers, tls: { ca }, timeout: 500 }]);
    } finally {
      globalThis.removeEventListener("error", isAlert);
    }
  });
});

/**
 * The clients that take `tls.ca` and `tls.cert`. The package transport-deno, with which `task test:official` runs,
 * does not.
 */
const TRANSPORTS: readonly ("deno" | "node")[] =
  "Deno" in globalThis && "DenoTransport" in await import("./connection/deno_transport.ts")
    ? ["deno", "node"]
    : ["node"];

type Key = ReturnType<typeof nkeys.createUser>;

const UNLIMITED = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
/** Limits of an account. -1 means JetStream without limits; the system's account must not have JetStream. */
const LIMITS = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };

/** Makes a signed token of NATS (a JWT of version 2). */
function jwt(issuer: Key, subject: Key, name: string, type: string, nats: object): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const head = part({ typ: "JWT", alg: "ed25519-nkey" });
  const claims = part({
    jti: name,
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    name,
    sub: subject.getPublicKey(),
    nats: { ...nats, type, version: 2 },
  });
  const signature = issuer.sign(new TextEncoder().encode(`${head}.${claims}`));
  return `${head}.${claims}.${Buffer.from(signature).toString("base64url")}`;
}

/** Returns the text of a creds file: a token and the user's seed. */
function creds(token: string, user: Key): string {
  const seed = new TextDecoder().decode(user.getSeed());
  const section = (title: string, text: string) => `-----BEGIN ${title}-----\n${text}\n------END ${title}------\n`;
  return section("NATS USER JWT", token) + section("USER NKEY SEED", seed);
}
