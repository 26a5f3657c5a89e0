/** Runs the suite of plain NATS clients in memory and on a real server. */
import { connect, headers as natsHeaders, type Msg } from "@nats-io/transport-node";
import { catga } from "../../catga.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { describeInterop, type InteropHarness } from "./interop_suite.ts";

describeInterop("in memory", () => {
  const network = new MemoryNetwork();
  const client = network.connect({ name: "plain" });
  const apps: AsyncDisposable[] = [];
  let asked = 0;
  const harness: InteropHarness = {
    async start(options) {
      const app = await catga({ ...options, network });
      apps.push(app);
      return app;
    },
    ask: (subject, body, headers) =>
      new Promise((resolve) => {
        const reply = `_INBOX.${++asked}`;
        const subscription = client.subscribe(reply, {}, ({ data, headers = {}, noResponders }) => {
          subscription.close();
          resolve(noResponders ? undefined : { text: new TextDecoder().decode(data), headers });
        });
        client.publish(subject, body, { reply, ...(headers === undefined ? {} : { headers }) });
      }),
    publish: (subject, body, reply) => client.publish(subject, body, reply === undefined ? {} : { reply }),
    async listen(subject, onMessage) {
      const subscription = client.subscribe(
        subject,
        {},
        ({ data, headers = {} }) => onMessage(new TextDecoder().decode(data), headers),
      );
      await client.flush();
      return () => subscription.close();
    },
    until: async (what, ask) => void await eventually(what, ask),
    async [Symbol.asyncDispose]() {
      for (const app of apps) await app[Symbol.asyncDispose]();
      await client.close();
    },
  };
  return Promise.resolve(harness);
});

describeInterop("on NATS", async () => {
  const server = await startNatsServer();
  const client = await connect({ servers: server.url });
  const apps: AsyncDisposable[] = [];
  const made = (given: Record<string, string> | undefined) => {
    if (given === undefined) return {};
    const headers = natsHeaders();
    for (const [name, value] of Object.entries(given)) headers.set(name, value);
    return { headers };
  };
  return {
    async start(options) {
      const app = await catga({ ...options, nats: server.url });
      apps.push(app);
      return app;
    },
    async ask(subject, body, headers) {
      try {
        const answer = await client.request(subject, body, { timeout: 30_000, ...made(headers) });
        return { text: answer.string(), headers: headersOf(answer) };
      } catch (error) {
        if ((error as Error).message.startsWith("no responders")) return undefined;
        throw error;
      }
    },
    publish: (subject, body, reply) => client.publish(subject, body, reply === undefined ? {} : { reply }),
    async listen(subject, onMessage) {
      const subscription = client.subscribe(subject, {
        callback: (_, message) => onMessage(message.string(), headersOf(message)),
      });
      await client.flush();
      return () => subscription.unsubscribe();
    },
    until: async (what, ask) => void await eventually(what, ask),
    async [Symbol.asyncDispose]() {
      for (const app of apps) await app[Symbol.asyncDispose]();
      await client.close();
      await server.stop();
    },
  };
}, await requireNatsServer());

function headersOf({ headers }: Msg): Record<string, string> {
  return Object.fromEntries((headers?.keys() ?? []).map((name) => [name, headers!.get(name)]));
}
