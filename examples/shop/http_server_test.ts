import { assertEquals } from "@std/assert";
import { connect } from "node:net";
import { once } from "node:events";
import { describe, it } from "node:test";
import { serve } from "./http_server.ts";

const LIMIT = { timeout: 300_000 };

describe("serve", () => {
  it("a call that takes longer than 10 s is answered (Bun ended its connection)", LIMIT, async () => {
    const server = serve(
      async () => {
        await new Promise((resolve) => setTimeout(resolve, 15_000)); // Bun looks every 4 s for what was silent for 10 s
        return new Response("done");
      },
      "127.0.0.1",
      0,
    );
    try {
      assertEquals(await (await fetch(`http://127.0.0.1:${server.port}/`)).text(), "done");
    } finally {
      await server.close(5_000);
    }
  });

  it(
    "a client that stops reading holds the end up no longer than it may (in Deno it did so for ever)",
    LIMIT,
    async () => {
      const asked = Promise.withResolvers<void>();
      const server = serve(
        () => {
          asked.resolve();
          return new Response(new Uint8Array(64 * 1_048_576)); // no buffer of a connection takes as much
        },
        "127.0.0.1",
        0,
      );
      const client = connect(server.port, "127.0.0.1");
      try {
        await once(client, "connect");
        client.pause();
        client.write("GET / HTTP/1.1\r\nHost: shop\r\n\r\n");
        await asked.promise;
        await server.close(1);
      } finally {
        client.destroy();
        await server.close(60_000); // what it gave up waiting for ends with the client
      }
    },
  );
});
