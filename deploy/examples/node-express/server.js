const express = require('express');
const fs = require('node:fs');

const app = express();
const port = process.env.PORT || 5000;
const built = fs.existsSync('built.txt') ? fs.readFileSync('built.txt', 'utf8') : 'not built';

app.get('/', (_request, response) => {
  response.type('text').send(`Hello from Express on Sarsen (${process.env.DYNO || 'local'}, ${built})\n`);
});

const server = app.listen(port, '0.0.0.0', () => console.log(`listening on ${port}`));
process.on('SIGTERM', () => server.close(() => process.exit(0)));
