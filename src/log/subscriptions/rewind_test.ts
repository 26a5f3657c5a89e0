import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { endOf, positionOf } from "../format/position.ts";
import type { SubscriptionRecord } from "../format/subscription_record.ts";
import { rewound } from "./rewind.ts";

const RECORD: SubscriptionRecord = {
  service: "shop",
  name: "billing",
  leader: "a.1",
  token: 4,
  generation: 7,
  takeovers: 2,
  began: { Placed: endOf(3), Paid: endOf(40), Gone: 0 },
  streams: {
    log: {
      created: "c",
      read: endOf(50),
      time: 9,
      at: 99,
      open: [[positionOf(10, 0), 1, 0], [positionOf(20, 3), 2, 0], [positionOf(21, 0), 1, 0]],
    },
    other: { created: "d", read: endOf(2), time: 1, open: [] },
  },
  rewind: { to: endOf(20), id: "r" },
};
const NODES = [{ id: "a", endpoint: "a.1", categories: new Set(["Placed"]) }, {
  id: "b",
  endpoint: "b.1",
  categories: new Set(["Paid"]),
}];

describe("rewound", () => {
  it("reads again behind the position, keeps what is open up to it, and answers the request", () => {
    const { generation, takeovers, began, streams, rewind, token } = rewound(RECORD, "log", endOf(20), NODES);
    assertEquals(streams.log, {
      created: "c",
      read: endOf(20),
      time: 0,
      open: [[positionOf(10, 0), 1, 0], [positionOf(20, 3), 2, 0]],
    });
    assertEquals({ generation, takeovers, rewind, token }, {
      generation: 8,
      takeovers: 0,
      rewind: undefined,
      token: 4,
    });
    assertEquals(began, { Placed: endOf(3), Paid: endOf(20) });
    assertEquals(streams.other, RECORD.streams.other);
  });

  it("a position within a message goes back to before its first event", () => {
    const { streams } = rewound(RECORD, "log", positionOf(20, 3), NODES);
    assertEquals(streams.log.read, endOf(19));
    assertEquals(streams.log.open, [[positionOf(10, 0), 1, 0]]);
  });

  it("the start is position 0, of any stream", () => {
    for (const to of [0, endOf(0), positionOf(1, 0)]) {
      const { streams, began } = rewound(RECORD, "log", to, NODES);
      assertEquals(streams.log, { created: "", read: 0, time: 0, open: [] }, `${to}`);
      assertEquals(began, { Placed: 0, Paid: 0 }, `${to}`);
    }
  });

  it("never goes forward, nor on in a stream that the record does not know", () => {
    assertEquals(rewound(RECORD, "log", endOf(60), NODES).streams.log.read, endOf(50));
    assertEquals(rewound(RECORD, "new", endOf(60), NODES).streams.new.read, 0);
  });

  it("leaves out categories that no live node handles", () => {
    assertEquals(rewound(RECORD, "log", endOf(60), []).began, {});
  });
});
