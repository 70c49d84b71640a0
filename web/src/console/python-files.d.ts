/** Python files are bundled as texts. */
declare module "*.py" {
  const code: string;
  export default code;
}
