/** JetStream of plain NATS clients on a busy machine: as `patient.ts`, for the package of nats.js. */
import { jetstream, type JetStreamClient, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { NatsConnection } from "@nats-io/nats-core";
import { PATIENT } from "./patient.ts";

/**
 * A client of JetStream whose requests take as long as {@link PATIENT} says. It gets options of its own, because
 * nats.js adds some to those that it is given.
 */
export function patientJetStream(connection: NatsConnection): JetStreamClient {
  return jetstream(connection, { ...PATIENT });
}

/** A manager of JetStream, like {@link patientJetStream}. */
export function patientManager(connection: NatsConnection): Promise<JetStreamManager> {
  return jetstreamManager(connection, { ...PATIENT });
}
