import { type Catga, catga } from "../../mod.ts";
import { streamName } from "../log/format/stream_name.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { bucketName, BUCKETS } from "../ports/key_value_store.ts";
import { codecsAtRest } from "../../test/support/key_codec.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { codecSuite } from "./codec_suite.ts";

codecSuite("in memory", {}, () => {
  const network = new MemoryNetwork();
  const awake = setInterval(() => {}, 1_000); // keeps the process alive, because timers of an app do not
  const apps: Catga[] = [];
  return Promise.resolve({
    async start(options) {
      const app = await catga({ network, logger: QUIET, ...options });
      apps.push(app);
      return app;
    },
    async stored() {
      const streams = [
        streamName("default", "log"),
        streamName("default", "entities"),
        streamName("default", "subscriptions"),
      ];
      const messages = streams.flatMap((name) =>
        network.log.messages(name).map(({ subject, data }) => `${subject} ${new TextDecoder().decode(data)}`)
      );
      const buckets = (["idempotency", "cache"] as const).map((kind) =>
        network.store.open(bucketName("default", kind), BUCKETS[kind])
      );
      const entries = await Promise.all((await Promise.all(buckets)).map((bucket) => bucket.entries("")));
      return [...messages, ...entries.flat().map(({ key, value }) => `${key} ${value}`)];
    },
    sent: () => Promise.resolve(undefined),
    async [Symbol.asyncDispose]() {
      clearInterval(awake);
      await Promise.all(apps.map((app) => app.drain()));
      await codecsAtRest();
    },
  });
});
