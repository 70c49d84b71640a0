/**
 * The table of how the JSON of a schema is written (`thimble/json_options.py`).
 * Made by `python -m tools.generate`; do not edit.
 */

/** How the JSON of a schema is written. */
export interface JsonOptions {
  /** Members stand in the order of the schema, or in any. */
  readonly property_order?: "schema" | "any";
  /** An object with properties has others where the schema speaks of them, or wherever it does not forbid them. */
  readonly extra_members?: "named" | "standard";
  /** At most one space behind a comma or colon, or any white space that JSON lets stand. */
  readonly whitespace?: "compact" | "free";
  /** Each character of a value is spelled in the shortest way, or in any. */
  readonly escapes?: "shortest" | "any";
  /** At most 16 digits before and behind the point, 15 in all with bounds, whole numbers without one; or any. */
  readonly numbers?: "short" | "any";
  /** A known format holds, or is an annotation. */
  readonly formats?: "kept" | "passed";
}

/** Their values, the usual one first. */
export const JSON_OPTIONS = {
  property_order: ["schema", "any"],
  extra_members: ["named", "standard"],
  whitespace: ["compact", "free"],
  escapes: ["shortest", "any"],
  numbers: ["short", "any"],
  formats: ["kept", "passed"],
} as const satisfies Record<keyof JsonOptions, readonly string[]>;
