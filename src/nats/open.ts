/** Opens the transport and the key-value store over one NATS connection. */
import type { ConnectionOptions as NatsOptions, NatsConnection as Connection } from "@nats-io/nats-core";
import { OnceAMinute, systemClock } from "../ports/clock.ts";
import type { Violation } from "../ports/transport.ts";
import type { ConnectNatsOptions, NatsAddress } from "./connection/connection.ts";
import { loadDriver } from "./connection/driver.ts";
import type { NatsKeyValueStore } from "./bucket/key_value_store.ts";
import type { NatsTransport } from "./connection/transport.ts";
import type { SplitReport } from "./connection/store_domain.ts";
import type { SettingsReport } from "./connection/wrong_settings.ts";

/** Options of nats.js for a connection; `catga` accepts them as its option `nats`. */
export type ConnectionOptions = NatsOptions;
/** An open connection of nats.js; `catga` accepts it as its option `nats`, and then never closes it. */
export type NatsConnection = Connection;

/**
 * Options of {@link openNats}. `onUnreachable` is also called while reconnects fail because of the credentials: at
 * the first failure, and then once a minute.
 */
export interface OpenNatsOptions extends ConnectNatsOptions {
  /** Called with errors that callbacks of subscriptions throw, and errors that the server reports. */
  onError: (error: unknown) => void;
  /** Called with permissions that the NATS user turned out to lack. */
  onForbidden: (violation: Violation) => void;
  /** Called when a stream is found to have wrong settings, and when it has its right settings again. */
  onSettings?: (report: SettingsReport) => void;
  /** Called each time when the namespace is found to be in another JetStream domain, too. */
  onSplit?: (split: SplitReport) => void;
  /** Called with a line of text when an operation failed that is repeated automatically. */
  onNotice: (notice: string) => void;
  /**
   * True if the store writes only at its callers' request: it does not remove expired entries that the server still
   * has. Default: false.
   */
  passive?: boolean;
}

/** Opens a connection, or takes over an open one. Resolves with its transport and store. Rejects like `connectNats`. */
export async function openNats(
  nats: NatsAddress,
  options: OpenNatsOptions,
): Promise<{ transport: NatsTransport; store: NatsKeyValueStore }> {
  const { onError, onForbidden, onNotice, onSettings, onSplit, onUnreachable, passive = false } = options;
  // begin to load the client of nats.js, which takes longest, while Catga's own files load; an error is thrown where it
  // is awaited
  loadDriver(options.transport, (nats as NatsOptions | null)?.tls).catch(() => {});
  const [{ connectNats }, { NatsTransport }, { NatsKeyValueStore }] = await Promise.all([
    import("./connection/connection.ts"),
    import("./connection/transport.ts"),
    import("./bucket/key_value_store.ts"),
  ]);
  const link = await connectNats(nats, options);
  const refusals = new OnceAMinute(systemClock);
  const transport = new NatsTransport(link, {
    onForbidden,
    ...(onSettings === undefined ? {} : { onSettings }),
    ...(onSplit === undefined ? {} : { onSplit }),
    onError: (error) => {
      if ((error as Error)?.name !== "AuthorizationError") return onError(error);
      // the refusal is reported at most once a minute, because nats.js reports it at each attempt to connect
      if (!refusals.due()) return;
      const reason = `it refuses the credentials (${(error as Error).message})`;
      if (onUnreachable === undefined) onNotice(`NATS: ${reason}`);
      else onUnreachable({ address: link.connection.getServer(), reason });
    },
  });
  return { transport, store: new NatsKeyValueStore(transport, { onNotice, passive }) };
}
