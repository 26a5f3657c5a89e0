import { describe, it } from "node:test";
import {
  ClosedConnectionError,
  DrainingConnectionError,
  InvalidArgumentError,
  NoRespondersError,
  PermissionViolationError,
  RequestError,
  TimeoutError,
} from "@nats-io/nats-core";
import { assertEquals } from "@std/assert";
import { connectionClosed, connectionLost, failure, type RequestFailure, violation } from "./nats_error.ts";

/** Makes the error that nats.js makes from a line of the server. */
function refused(line: string): Error {
  return PermissionViolationError.parse(line)!;
}

/** Makes the error with which nats.js rejects a request; its cause is the reason. */
function wrapped(cause: Error): Error {
  return new RequestError(cause.message, { cause });
}

/** Makes an error as another copy of nats.js throws it: only the name and the message are the same. */
function foreign({ name, message }: Error): Error {
  return Object.assign(new Error(message), { name });
}

const FORBIDDEN = refused(`Permissions Violation for Publish to "orders.created"`);

describe("failure", () => {
  const cases: readonly (readonly [expected: RequestFailure, error: Error])[] = [
    ["no responders", new NoRespondersError("orders")],
    ["timeout", new TimeoutError()],
    ["timeout", new RequestError("connection disconnected")],
    ["forbidden", FORBIDDEN],
    ["closed", new ClosedConnectionError()],
    ["closed", new DrainingConnectionError()],
    ["closed", new RequestError("connection closed")],
    ["too large", InvalidArgumentError.format("payload", "max_payload size exceeded")],
    ["other", new InvalidArgumentError("'subject' is required")],
  ];
  for (const [expected, error] of cases) {
    it(`${error.name}: ${error.message} is ${JSON.stringify(expected)}, also as a cause, and from another copy of nats.js`, () => {
      assertEquals(failure(error), expected);
      assertEquals(failure(wrapped(wrapped(error))), expected);
      assertEquals(failure(foreign(error)), expected);
    });
  }

  it("what is not an error is other", () => {
    for (const thrown of [undefined, null, "timeout", { name: "TimeoutError", message: "timeout" }]) {
      assertEquals(failure(thrown), "other");
    }
  });
});

describe("violation", () => {
  it("names the operation and the subject, also as a cause", () => {
    assertEquals(violation(wrapped(FORBIDDEN)), { operation: "publish", subject: "orders.created" });
    assertEquals(violation(refused(`Permissions Violation for Subscription to "orders.>" using queue "q"`)), {
      operation: "subscribe",
      subject: "orders.>",
    });
  });

  it("names all consumers of a stream, because the name of one is random", () => {
    const subjectOf = (subject: string) =>
      violation(refused(`Permissions Violation for Publish to "${subject}"`))!.subject;
    assertEquals(subjectOf("$JS.API.CONSUMER.CREATE.log.k7x.catga.log.>"), "$JS.API.CONSUMER.CREATE.log.>");
    assertEquals(subjectOf("$JS.API.CONSUMER.DELETE.log.k7x"), "$JS.API.CONSUMER.DELETE.log.>");
    assertEquals(subjectOf("$JS.API.STREAM.INFO.log"), "$JS.API.STREAM.INFO.log");
  });

  it("is undefined for any other error", () => {
    assertEquals(violation(wrapped(new TimeoutError())), undefined);
    assertEquals(violation(undefined), undefined);
  });
});

describe("the errors of a connection", () => {
  it("only a lost connection is worth trying again", () => {
    const cause = new Error("read ECONNRESET");
    const lost = connectionLost(cause);
    assertEquals({ code: lost.code, retryable: lost.retryable, cause: lost.cause }, {
      code: "UNAVAILABLE",
      retryable: true,
      cause,
    });
    const closed = connectionClosed();
    assertEquals({ code: closed.code, retryable: closed.retryable }, { code: "CLOSED", retryable: false });
  });
});
