declare module "virtual:france" {
  const outlines: { stepDeg: number; france: number[][]; others: number[][] };
  export default outlines;
}
