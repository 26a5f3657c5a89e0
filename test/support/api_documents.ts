/** Compares descriptions of an edge with the official schemas of their formats. */
import specs from "@asyncapi/specs";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv, type ValidateFunction } from "ajv";
import addFormats from "ajv-formats";

/** What a schema says of a document. */
export interface Verdict {
  readonly valid: boolean;
  /** Empty if the document is valid. */
  readonly errors: unknown;
}

/** Compares a document with the schema of OpenAPI, of the version that it names. */
export async function validateOpenapi(document: Record<string, unknown>): Promise<Verdict> {
  const { valid, errors = [] } = await new Validator().validate(document);
  return { valid, errors };
}

/** Compares a document with the schema of AsyncAPI 3. */
export function validateAsyncapi(document: Record<string, unknown>): Verdict {
  const validate = compiled ??= compile();
  return { valid: validate(document), errors: validate.errors ?? [] };
}

/** The compiled schema of AsyncAPI, whose compilation takes a second. */
let compiled: ValidateFunction | undefined;

function compile(): ValidateFunction {
  const ajv = new Ajv({ allErrors: true, strict: false });
  addFormats.default(ajv);
  return ajv.compile(specs.schemasWithoutId["3.0.0"] as object);
}
