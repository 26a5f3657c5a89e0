import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import type { SubscriptionInfo } from "../../../mod.ts";
import { Flags } from "./flags.ts";
import { findSubscription } from "./subscription_name.ts";

describe("findSubscription", () => {
  it("a name alone is found in whichever service has it", () => {
    assertEquals(found(["billing/invoices", "crm/contacts"], "contacts"), "crm/contacts");
    assertEquals(found(["@/SendMail", "mail/SendMails"], "SendMail"), "@/SendMail");
  });

  it("of several services the one in front of the slash is meant, or that of --service", () => {
    const all = ["billing/orders", "crm/orders"];
    assertEquals(found(all, "crm/orders"), "crm/orders");
    assertEquals(found(all, "orders", "billing"), "billing/orders");
    assertEquals(found(all, "crm/orders", "billing"), "crm/orders");
  });

  it("a name that several services have is an error that lists them", () => {
    const all = ["billing/orders", "crm/orders", "crm/contacts"];
    assertEquals(
      errorOf(all, "orders"),
      ["Error", "several services have a subscription orders: give one of billing/orders, crm/orders"],
    );
    assertEquals(
      errorOf(["billing/orders:entities", "crm/orders:entities"], "orders"),
      [
        "Error",
        "several services have a subscription orders: give one of billing/orders:entities, crm/orders:entities",
      ],
    );
  });

  it("a name means the subscription to events of entities only if there is no other one", () => {
    assertEquals(found(["shop/orders:entities"], "orders"), "shop/orders:entities");
    assertEquals(found(["shop/orders", "shop/orders:entities"], "orders"), "shop/orders");
    assertEquals(found(["shop/orders", "shop/orders:entities"], "shop/orders:entities"), "shop/orders:entities");
    assertEquals(found(["billing/orders", "crm/orders:entities"], "crm/orders"), "crm/orders:entities");
  });

  it("one that does not exist is no wrong usage, as with nodes, runs and locks; the error lists all that do", () => {
    const all = ["billing/invoices", "crm/contacts"];
    for (const [word, service] of [["invoice"], ["crm/invoices"], ["/invoices"], ["crm/"], ["invoices", "crm"]]) {
      const wanted = `there is no subscription ${word}; there are billing/invoices, crm/contacts`;
      assertEquals(errorOf(all, word, service), ["Error", wanted]);
    }
    assertEquals(errorOf([], "invoices"), ["Error", "there is no subscription invoices; there are none"]);
  });
});

function found(all: readonly string[], word: string, service?: string): string {
  const info = findSubscription(all.map(infoOf), word, new Flags({ service }));
  return `${info.service}/${info.name}`;
}

function errorOf(all: readonly string[], word: string, service?: string): [string, string] {
  const error = assertThrows(() => found(all, word, service), Error);
  return [error.constructor.name, error.message];
}

/** Makes the description of a subscription from its label `SERVICE/NAME`. */
function infoOf(label: string): SubscriptionInfo {
  const [service, name] = label.split("/");
  return {
    ...{ service, name, contracts: [], position: 0, lag: 0, open: 0, oldest: 0, retrying: 0, dead: 0 },
    ...{ leader: undefined, abandoned: false, requested: false },
  };
}
