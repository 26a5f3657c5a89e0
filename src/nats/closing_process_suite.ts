/**
 * A process that `transport_test.ts` starts: it opens a bucket, a watch and a subscription, closes the transport, and
 * should then exit by itself.
 */
import process from "node:process";
import { connectNats } from "./connection/connection.ts";
import { NatsKeyValueStore } from "./bucket/key_value_store.ts";
import { NatsTransport } from "./connection/transport.ts";

const [url, situation] = process.argv.slice(2);
const transport = new NatsTransport(await connectNats(url));
const bucket = await new NatsKeyValueStore(transport).open("closing");
await bucket.watch("", () => {}, { signal: new AbortController().signal });
transport.subscribe("a", {}, () => {});
await transport.flush();
const down = new Promise<void>((resolve) => {
  transport.onStatus((status) => status.state === "disconnected" && resolve());
});
console.log("up");
if (situation === "disconnected") await down;
await transport.close();
console.log("closed");
