/** A server on which `catga doctor` looks at what tests plant, each in a namespace of its own. */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { assertEquals, assertMatch } from "@std/assert";
import { type Catga, catga, type CatgaOptions } from "../../mod.ts";
import { type NatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { cliHere } from "./cli_here.ts";
import { eventually } from "./eventually.ts";
import { PATIENT } from "./patient.ts";
import { QUIET } from "./quiet.ts";

/** What the doctor found, as it prints it with `--json`. */
export interface Finding {
  readonly kind: string;
  readonly about: string;
  readonly message: string;
  readonly advice: string;
  readonly docs: string;
  readonly cause?: string;
}

const USERS = `
  jetstream {}
  accounts {
    APP { jetstream: enabled, users: [
      { user: all, password: p }
      { user: blind, password: p, permissions: { publish: { deny: ["$JS.API.CONSUMER.CREATE.KV_catga_denied_nodes.>"] } } }
      { user: few, password: p, permissions: { publish: { deny: ["$JS.API.STREAM.MSG.GET.catga_denied_subscriptions", "$JS.API.DIRECT.GET.>"] } } }
      { user: mute, password: p, permissions: { publish: { deny: ["catga.denied.node.>"] } } }
      { user: shut, password: p, permissions: { publish: { deny: ["$JS.API.STREAM.INFO.KV_catga_denied_nodes"] } } }
    ] }
    SMALL { jetstream: { max_file: 400000 }, users: [{ user: small, password: p }] }
    NONE { users: [{ user: none, password: p }] }
  }`;

/** The server, and the apps that were started there. */
export class Doctored implements AsyncDisposable {
  readonly #apps: Catga[] = [];

  private constructor(readonly server: NatsServer, readonly admin: NatsConnection) {}

  static async start(): Promise<Doctored> {
    const server = await startNatsServer({ config: USERS });
    return new Doctored(server, await connect({ servers: server.url, user: "all", pass: "p" }));
  }

  async app(namespace: string, options: CatgaOptions = {}, user = "all"): Promise<Catga> {
    const nats = { servers: this.server.url, user, pass: "p" };
    const app = await catga({ nats, namespace, logger: QUIET, id: "a-1", service: "a", ...options });
    this.#apps.push(app);
    return app;
  }

  /** The command line that looks at a namespace. */
  args(namespace: string, user = "all", url: string = this.server.url): string[] {
    return ["--nats", url, "--namespace", namespace, "--user", user, "--password", "p"];
  }

  /** Findings of `catga doctor` for a namespace, once it could read what there is: a busy machine may answer late. */
  async findings(namespace: string, user = "all", url: string = this.server.url): Promise<Finding[]> {
    let findings: Finding[] = [];
    await eventually("a look at everything", async () => {
      const { code, out } = await cliHere(["doctor", ...this.args(namespace, user, url), "--json"]);
      const told: { ok: boolean; findings: Finding[] } = JSON.parse(out);
      findings = told.findings;
      assertEquals([code, told.ok], findings.length === 0 ? [0, true] : [1, false]);
      for (const each of findings) assertMatch(each.docs, /^catga docs [a-z-]+(?:#[\w-]+)?$/);
      const isThere = url === this.server.url && user !== "stranger";
      return findings.every(({ kind }) => kind === "unreachable" ? !isThere : kind !== "unreadable" || user === "none");
    });
    return findings;
  }

  /** Asks JetStream, which has to do it. */
  async api(subject: string, body: object): Promise<void> {
    const answer = (await this.admin.request(`$JS.API.${subject}`, JSON.stringify(body), PATIENT)).json<
      { error?: object }
    >();
    assertEquals(answer.error, undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#apps.map((app) => app.drain()));
    await this.admin.close();
    await this.server.stop();
  }
}

/** Of each finding its kind, and what it is about. */
export function kinds(findings: readonly Finding[]): string[] {
  return findings.map(({ kind, about }) => `${kind} ${about}`);
}
