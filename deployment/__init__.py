"""The template as a CloudFormation stack: packages, template, stack; shared by the laptop and LocalStack."""
