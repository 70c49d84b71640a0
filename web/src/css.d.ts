/** Styles as minified text (build.mjs), for elements that bring their own. */
declare module "*.css" {
  const text: string;
  export default text;
}
