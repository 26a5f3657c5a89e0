/** A node as this node sees it: its record, and the signs that its process is alive or dead. */
import type { NodeInfo } from "../../contract/node_info.ts";
import { freeze } from "./node_record.ts";
import type { HandledList } from "./handled_lists.ts";

/** One node as this node sees it. All times are by the monotonic clock. */
export class Member {
  readonly info: NodeInfo;
  /** The contracts that the node handles. */
  handled: HandledList;
  /** Revision of the node's record. */
  readonly revision: number;
  /**
   * True if a frame to the node has bounced (no responders), or a ping to it was not answered in time, since the node
   * last showed that it is alive; requests then prefer other nodes.
   */
  suspect = false;
  /**
   * Time of the first bounce (no responders) of a frame to the node since it last showed that it is alive; -1: none.
   */
  bouncedAt = -1;
  /**
   * Time at which a node on another server last reported that frames to this member bounce (no responders) on that
   * server; -1: never.
   */
  accusedAt = -1;
  /**
   * Reason why the node's record is gone from the store: its ttl has ended (`expire`), or the reason is not known
   * (`vanish`); absent: the record is there. The node stays a member as long as it answers pings.
   */
  recordGone: "expire" | "vanish" | undefined;

  constructor(info: NodeInfo, revision: number, handled: HandledList) {
    // all members that handle the same contracts share one `HandledList`
    const { names: handles, subscriptions, entities } = handled;
    const own = info.handles === handles && info.subscriptions === subscriptions && info.entities === entities;
    this.info = own ? info : freeze({
      ...info,
      handles,
      ...(subscriptions === undefined ? {} : { subscriptions }),
      ...(entities === undefined ? {} : { entities }),
    });
    this.handled = handled;
    this.revision = revision;
  }

  /** Forgets earlier bounces (no responders) of frames to the node, and other nodes' reports of bounces. */
  clearBounces(): void {
    this.bouncedAt = this.accusedAt = -1;
  }
}
