"""Fixtures of the scenarios."""

import json
from contextlib import contextmanager

import pytest


@pytest.fixture
def notifications(pipeline):
    """A function that returns every message on the failure topic since its last call, after ``expected`` have come."""
    with messages_of(pipeline, pipeline.outputs["FailureTopicArn"]) as messages:
        yield messages


@pytest.fixture
def weather_alerts(pipeline):
    """The same of the topic of the weather alerts."""
    with messages_of(pipeline, pipeline.outputs["WeatherAlertTopicArn"]) as messages:
        yield messages


@contextmanager
def messages_of(pipeline, topic):
    """Yield a function that returns every message on a topic since its last call, after ``expected`` have come."""
    sqs, sns = pipeline.emulator.aws.client("sqs"), pipeline.emulator.aws.client("sns")
    queue = sqs.create_queue(QueueName="ends")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]

    def messages(expected):
        found = []
        while True:
            wait = 10 if len(found) < expected else 0
            received = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=wait, MaxNumberOfMessages=10)
            if "Messages" not in received:
                return found
            for each in received["Messages"]:
                found.append(json.loads(each["Body"])["Message"])
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])

    yield messages
    sns.unsubscribe(SubscriptionArn=subscription)
    sqs.delete_queue(QueueUrl=queue)
