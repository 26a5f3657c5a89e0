/** Creates the buckets of docs/nats.conf, as its operator does. */
import { assertEquals } from "@std/assert";
import { cli } from "../../src/cli/main.ts";
import { chances } from "./chances.ts";

/** Runs `catga setup` as the operator of a configuration. */
export async function runSetup(url: string, config: string): Promise<void> {
  const [, password] = /user: operator, password: "(.*)"/.exec(config)!;
  const once = async () => {
    let said = "";
    const code = await cli(["setup", "--nats", url, "--user", "operator", "--password", password], {
      write: () => {},
      say: (line) => void (said += line),
      read: () => Promise.resolve(""),
      colors: false,
      environment: {},
      signal: new AbortController().signal,
    });
    return { code, said };
  };
  // the server of a busy machine may not answer in time
  assertEquals(await chances(2, once, ({ said }) => !said.includes("no answer within")), { code: 0, said: "" });
}
