/** One typed sink for what happens inside an app and has no caller to be told: logs listen to it, behaviors and tests too. */

/** Something that happened in an app, and not in a handler's own code: told to loggers and to behaviors. */
export type Observation =
  /** A handler threw; the caller has `HANDLER_FAILED`. */
  | { readonly type: "handler-failed"; readonly contract: string; readonly id: string; readonly error: unknown }
  /** A request was not delivered, or refused, and goes on to another node. */
  | {
    readonly type: "retry";
    readonly contract: string;
    readonly node: string;
    readonly reason: string;
    /** The one that begins. */
    readonly attempt: number;
    /** Of the message. */
    readonly headers?: Readonly<Record<string, string>> | undefined;
  }
  /** A frame of ours reached nobody. */
  | { readonly type: "bounce"; readonly endpoint: string }
  /** Frames to nobody do not come back: somebody subscribes to every subject. */
  | { readonly type: "no-bounces" }
  /** The breaker of the way to a node has moved. */
  | { readonly type: "breaker"; readonly node: string; readonly state: "closed" | "open" | "half-open" }
  /**
   * Events were dropped, `count` of them since the last such observation of this contract: too many wait for their handlers
   * already. Told at once, and then once a minute.
   */
  | { readonly type: "event-dropped"; readonly contract: string; readonly count: number }
  /** A lock was waited for, in vain when there is a code: so many ms for this key. */
  | { readonly type: "lock-wait"; readonly key: string; readonly ms: number; readonly code: string | undefined }
  /** A process is taken to be gone with what it had in hand. */
  | { readonly type: "gone"; readonly endpoint: string; readonly inHand: number }
  /** Bytes that are no frame arrived, `count` of them since the last such observation. */
  | { readonly type: "malformed"; readonly subject: string; readonly reason: string; readonly count: number }
  /** The connection was lost, or is there again. */
  | {
    readonly type: "connection";
    readonly state: "connected" | "disconnected" | "closed";
    readonly generation: number;
  }
  /** A node came, changed or went. */
  | { readonly type: "node"; readonly change: "join" | "update" | "leave" | "suspect" | "alive"; readonly node: string }
  /**
   * Records of nodes were passed over since the last such observation, a minute ago at least: so many because too many have
   * not answered yet (`unproven`), and so many although they have, because the view is full (`members`).
   */
  | { readonly type: "crowded"; readonly unproven: number; readonly members: number }
  /** The server does not let this node do something; told once a minute for each subject. */
  | { readonly type: "forbidden"; readonly operation: "publish" | "subscribe"; readonly subject: string }
  /** Something that an operator may want to know. */
  | { readonly type: "notice"; readonly text: string }
  /** Something that should not happen went wrong in the background; the app goes on. */
  | { readonly type: "fault"; readonly during: string; readonly error: unknown };

/** Takes observations. Must not throw. */
export type Observer = (observation: Observation) => void;
