// @hey-api/openapi-ts: https://heyapi.dev/openapi-ts/configuration. Its input and output are given on the command line.
export default {
  logs: { file: false },
  output: { path: 'src', clean: true, importFileExtension: '.js' },
  plugins: ['@hey-api/typescript', '@hey-api/sdk', '@hey-api/client-fetch'],
};
