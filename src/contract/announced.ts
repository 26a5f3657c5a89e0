/**
 * What a node's record says about its handlers of messages of the log, `NodeInfo.subscriptions`: `<subscription>/<event>`, and
 * `@/<command>` for queued commands. And the names of the internal contracts that follow from it.
 */
import { type AnyContract, isContractName } from "./contract.ts";

/** In place of a service: that of the subscriptions to queued commands, one for each contract and called as it is, whatever the service. */
export const COMMANDS = "@";

/**
 * What the name of a subscription to events of entities ends with, behind the name that the program gave: these events are in a stream of
 * their own, in which it has a position and a leader of its own.
 */
export const OF_ENTITIES = ":entities";

/** The name by which nodes know the subscription of a handler of this contract, for which the program gave this name. */
export function subscriptionName({ options: { entity } }: AnyContract, name: string): string {
  return entity === undefined ? name : name + OF_ENTITIES;
}

/**
 * What a node says in `NodeInfo.subscriptions` for a category that it handles: `<subscription>/<contract>`, and `@/<contract>` for a
 * queued command.
 */
export function announcement(service: string, name: string, category: string): string {
  return service === COMMANDS ? `${COMMANDS}/${category}` : `${name}/${category}`;
}

/** Whether a record may say so. */
export function isAnnounced(text: string): boolean {
  const slash = text.indexOf("/");
  const subscription = text.slice(0, slash);
  return slash > 0 && (subscription === COMMANDS || isToken(subscription)) &&
    isContractName(text.slice(slash + 1));
}

/** The service, name and category of the subscription that a node of a service announces so. Of a text that {@link isAnnounced}. */
export function readAnnouncement(
  service: string,
  text: string,
): { readonly service: string; readonly name: string; readonly category: string } {
  const [name, category] = text.split("/");
  return name === COMMANDS ? { service: COMMANDS, name: category, category } : { service, name, category };
}

/** The internal contracts that a node of a service handles because of this part of its record. */
export function internalNames(service: string, text: string): readonly string[] {
  const { service: owner, name, category } = readAnnouncement(service, text);
  return [runName(owner, name, category), controlName(owner, name)];
}

/** The name of the internal contract that a subscription's leader sends an event of a category by. */
export function runName(service: string, name: string, category: string): string {
  return `@${service}/${name}/${category}`;
}

/** The name of the internal contract that a subscription's leader asks its nodes by: barriers. */
export function controlName(service: string, name: string): string {
  return `@${service}/${name}`;
}

/** Whether a name is that of an internal contract: no program's contract has one. */
export function isInternalName(name: string): boolean {
  return name.charCodeAt(0) === AT;
}

/** Whether a text is what {@link runName} or {@link controlName} makes. */
export function isInternalContract(text: string): boolean {
  if (!isInternalName(text)) return false;
  const [service, name, category, ...more] = text.slice(1).split("/");
  return (service === COMMANDS || isToken(service)) && name !== undefined && (isContractName(name) || isToken(name)) &&
    (category === undefined || isContractName(category)) && more.length === 0;
}

/** Whether a text can be the name of a subscription. */
function isToken(text: string): boolean {
  return text.length <= MAX_TOKEN + OF_ENTITIES.length && /^[\w-]{1,256}(:entities)?$/.test(text);
}

const AT = 64;
const MAX_TOKEN = 256;
