/** `catga/contract-name`: a contract has the name of its constant. */
import { bare, inCatgaFiles } from "./catga_file.ts";

/**
 * Reports a contract whose name is not that of its constant: mostly a copy that was not renamed, and in a cluster two contracts
 * of one name are one contract.
 *
 * It ignores case, `-` and `_`, and `Command`, `Query`, `Event` and `Contract` at the end; of a name with dots, the constant's
 * name has to contain the last token. A constant named `contract`, `command`, `query` or `event` may have any. There is no fix:
 * either name may be the right one, and other code may use it.
 */
export const contractName: Deno.lint.Rule = {
  create(context): Deno.lint.LintVisitor {
    return inCatgaFiles(context, (file) => ({
      VariableDeclarator({ id, init }): void {
        const kind = file.contractKind(init);
        if (id.type !== "Identifier" || init === null || kind === undefined) return;
        const call = bare(init) as Deno.lint.CallExpression; // contractKind has checked that
        const [name] = call.arguments;
        if (name?.type !== "Literal" || typeof name.value !== "string" || agree(id.name, name.value)) return;
        context.report({
          node: name,
          message: `The ${kind} of the constant ${id.name} is called "${name.value}"`,
          hint:
            `Call it "${id.name}", or rename the constant; nodes agree on the name in quotes, so keep that one if it is in use`,
        });
      },
    }));
  },
};

function agree(constant: string, name: string): boolean {
  if (/^(?:command|query|event|contract)$/.test(constant)) return true;
  const tokens = name.split(".");
  const last = plain(tokens[tokens.length - 1]);
  if (tokens.length > 1) return plain(constant).includes(last);
  return plain(constant) === last || withoutKind(constant) === withoutKind(name);
}

function plain(name: string): string {
  return name.replaceAll(/[-_$]/g, "").toLowerCase();
}

function withoutKind(name: string): string {
  return plain(name).replace(/(?<=.)(?:command|query|event|contract)$/, "");
}
