/** Tests of the ports of a node with a codec around them. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { nodeSubject } from "../contract/nodes/subjects.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { sealed } from "./sealed_link.ts";

describe("the sealed ports of a node", () => {
  /** Closes ports whose codec settles when `settle` is called. */
  const closing = () => {
    const clock = new VirtualClock();
    const network = new MemoryNetwork({ clock });
    const [transport, other] = [network.connect(), network.connect()];
    const subject = nodeSubject("ns", "other", "me");
    const seen = { arrived: 0, isClosed: false, errors: [] as unknown[] };
    other.subscribe(subject, {}, () => seen.arrived++);
    const { promise, resolve: settle } = Promise.withResolvers<void>();
    const encode = (bytes: Uint8Array<ArrayBuffer>) => promise.then(() => bytes);
    const ports = sealed(
      { transport, store: network.store, log: () => Promise.resolve(network.log), close: () => transport.close() },
      { encode, decode: (bytes) => bytes },
      { clock, timeout: 30_000, namespace: "ns", onError: (error) => seen.errors.push(error) },
    );
    ports.transport.publish(subject, "last words");
    const closed = ports.close().then(() => void (seen.isClosed = true));
    return { clock, seen, settle, closed };
  };

  it("close sends what the codec is still encoding, however slow it is (after 1 s it was lost)", async () => {
    const { clock, seen, settle, closed } = closing();
    await clock.advance(5_000);
    assertEquals(seen, { arrived: 0, isClosed: false, errors: [] });
    settle();
    await closed;
    await clock.advance(100);
    assertEquals(seen, { arrived: 1, isClosed: true, errors: [] });
  });

  it("close ends at the timeout of a codec that never settles", async () => {
    const { clock, seen, closed } = closing();
    await clock.advance(30_000);
    await closed;
    assertEquals([seen.arrived, seen.isClosed, `${seen.errors}`], [
      0,
      true,
      "CatgaError: the codec has not encoded a payload within 30000 ms",
    ]);
  });
});
