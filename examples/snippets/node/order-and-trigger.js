// Publishes one order and waits for the trigger that follows from it.
//
//   npm install
//   tidemark dev                  (in another terminal)
//   node order-and-trigger.js
'use strict'

const { randomUUID } = require('node:crypto')
const fs = require('node:fs')
const path = require('node:path')
const { Kafka, logLevel } = require('kafkajs')
const { SchemaRegistry, SchemaType } = require('@kafkajs/confluent-schema-registry')

const KAFKA = process.env.KAFKA || '127.0.0.1:9092'
const REGISTRY = process.env.REGISTRY || 'http://127.0.0.1:8081'
const ORDERS = process.env.ORDERS || 'order-events'
const TRIGGERS = process.env.TRIGGERS || 'churn-warnings'
const SCHEMA = path.join(__dirname, '..', '..', '..', 'schemas', 'avro', 'order_event.avsc')

async function main () {
  const registry = new SchemaRegistry({ host: REGISTRY })
  const kafka = new Kafka({ clientId: 'snippet', brokers: [KAFKA], logLevel: logLevel.ERROR })

  // An order of two hours ago: the playbook of `tidemark dev` warns after one hour of silence.
  const customer = `node-${randomUUID()}`
  const order = {
    event_id: randomUUID(),
    customer_id: customer,
    order_id: 'order-1',
    type: 'PAID',
    occurred_at: Date.now() - 2 * 3600 * 1000,
    amount_minor: 12000,
    currency: 'USD',
    channel: 'web',
    items: [],
    attributes: {}
  }
  const { id } = await registry.register(
    { type: SchemaType.AVRO, schema: fs.readFileSync(SCHEMA, 'utf8') },
    { subject: `${ORDERS}-value` })
  const producer = kafka.producer({ idempotent: true }) // partitions as the Java client does since kafkajs 2.0
  await producer.connect()
  await producer.send({ topic: ORDERS, acks: -1, messages: [{ key: customer, value: await registry.encode(id, order) }] })
  await producer.disconnect()

  // A group of your own that stays; readUncommitted is false by default.
  const consumer = kafka.consumer({ groupId: `snippet-${randomUUID()}`, readUncommitted: false })
  await consumer.connect()
  await consumer.subscribe({ topic: TRIGGERS, fromBeginning: true })
  await new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error('no trigger within a minute')), 60_000).unref()
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    consumer.run({
      eachMessage: async ({ topic, message }) => {
        const trigger = await registry.decode(message.value)
        if (trigger.customer_id === customer) {
          console.log(topic, trigger.customer_id, trigger.rule, trigger.status, trigger.trigger_id)
          resolve()
        }
      }
    })
  })
  await consumer.disconnect()
}

main().catch((e) => { console.error(e); process.exit(1) })
